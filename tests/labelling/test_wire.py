"""asteroid/labelling/wire.py: what travels between processes arrives as it was sent."""

import pyarrow as pa

from asteroid.labelling.wire import CONFIGURATION_SCHEMA, configurations_to_table, pack, table_to_configurations, unpack
from tests.labelling.reference import CATION, FORMALDEHYDE, HYDROXIDE, PEROXYL, WATER

MOLECULES = [WATER, CATION, HYDROXIDE, PEROXYL, FORMALDEHYDE]


def test_configurations_of_different_sizes_arrive_with_their_ids():
    table = configurations_to_table(MOLECULES)
    arrived = list(table_to_configurations(unpack(pack(table))))
    assert [one.frame_id for one in arrived] == table["frame_id"].to_pylist() == [one.frame_id for one in MOLECULES]


def test_a_slice_is_sent_alone():
    table = pa.concat_tables([configurations_to_table(MOLECULES)] * 1000).combine_chunks()
    middle = table.slice(2001, 2)
    assert [one.frame_id for one in table_to_configurations(middle)] == [CATION.frame_id, HYDROXIDE.frame_id]
    assert len(pack(middle)) < 3000 < len(pack(table)) / 100


def test_no_configurations_make_an_empty_table():
    table = configurations_to_table([])
    assert table.schema == CONFIGURATION_SCHEMA
    assert list(table_to_configurations(unpack(pack(table)))) == []
