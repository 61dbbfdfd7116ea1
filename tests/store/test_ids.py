"""Ids of frames as numbers, against the same with strings."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid.store.ids import absent, shard_of, to_ids, to_words

# Two choices for each half, so that lists have ids with one half in common.
IDS = st.lists(st.tuples(*[st.sampled_from(["0123456789abcdef", "fedcba9876543210", "0" * 16])] * 2).map("".join))


def array(ids: list[str]) -> pa.Array:
    return pa.array(ids, pa.string())


@given(st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex)), st.integers(0, 5))
def test_numbers_and_ids_are_each_others_inverse(ids: list[str], start: int) -> None:
    assert to_ids(to_words(array(ids)[start:])) == ids[start:]
    chunks = pa.chunked_array([array(ids), array(ids)])
    assert to_ids(to_words(chunks)) == ids + ids


@given(IDS, IDS)
def test_absent_ids_are_those_that_a_set_lacks(ids: list[str], among: list[str]) -> None:
    found = absent(to_words(array(ids)), to_words(array(among)))
    assert found.tolist() == [i not in set(among) for i in ids]


@given(st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex)), st.integers(1, 64))
def test_the_shard_of_an_id_is_that_of_its_first_eight_digits(ids: list[str], shards: int) -> None:
    assert shard_of(to_words(array(ids)), shards).tolist() == [int(i[:8], 16) % shards for i in ids]


@pytest.mark.parametrize("wrong", ["", "0" * 31, "0" * 33, "0" * 31 + "g", "0" * 31 + "A", "é" * 16])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="id of a frame"):
        to_words(array(["0" * 32, wrong]))


def test_no_ids_are_no_numbers() -> None:
    assert to_words(array([])).shape == (0, 2)
    assert absent(to_words(array([])), to_words(array([]))).dtype == np.bool_
