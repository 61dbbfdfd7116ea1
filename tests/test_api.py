"""``import asteroid``: what it offers in Python is what the command line does."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import asteroid
from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.store import Store, records
from tests.training.conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings, water
from tests.validation.certificates import make_certificate

__all__ = ["water"]


def hydroxide() -> Atoms:
    return Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info={"charge": -1})


def test_a_label_is_that_of_the_level_at_the_charge_that_the_atoms_carry() -> None:
    found = asteroid.label(hydroxide(), "gfn2-xtb")
    expected = make_labeller(LevelOfTheory.parse("gfn2-xtb")).compute(
        Configuration([8, 1], hydroxide().positions, charge=-1)
    )
    assert found.status == "ok"
    assert found.energy == pytest.approx(expected.energy, abs=1e-8)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-7)


def test_several_molecules_come_back_in_their_order_and_one_that_fails_says_why() -> None:
    touching = Atoms("H2", [[0, 0, 0], [0, 0, 0.01]])
    alike = [molecule("H2O"), touching, hydroxide(), molecule("H2O")]
    found = asteroid.label(alike, "gfn2-xtb", workers=2)
    assert [one.status for one in found] == ["ok", "rejected", "ok", "ok"]
    assert found[1].reason
    assert found[0].energy == found[3].energy
    assert found[0].forces.shape == (3, 3)


def test_a_level_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(InputError, match="gfn2-xtb"):
        asteroid.label(molecule("H2O"), "gfn2-xbt")


@pytest.fixture(scope="module")
def trained(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A store with a model of ten accurate labels, and no certificate."""
    from tests.training.conftest import train_model

    store = Store(tmp_path_factory.mktemp("store"))
    ids = fill(store, water)
    card = train_model(
        store,
        "water",
        strategy="scratch",
        cheap=CHEAP,
        accurate=ACCURATE,
        train_ids=ids[:6],
        valid_ids=ids[6:10],
        cheap_ids=[],
        settings=tiny_settings(),
    )
    return store, card.model_id


def test_a_store_is_read_as_tables(trained: tuple[Store, str], water: Labels) -> None:
    store = asteroid.open_store(trained[0].url)
    assert store.molecules() == ["water"]
    assert store.levels("water") == [str(CHEAP), str(ACCURATE)]
    assert set(store.frames("water")["frame_id"]) == {label.frame_id for label in water.accurate}
    energies = store.labels("water", str(ACCURATE)).set_index("frame_id")["energy"]
    assert energies.to_dict() == {label.frame_id: label.energy for label in water.accurate}
    assert len(store.labels("water", "mp2/cc-pvdz")) == 0
    assert store.certificate("water") is None


def test_a_model_is_that_of_the_newest_certificate(trained: tuple[Store, str]) -> None:
    store, model_id = trained
    with pytest.raises(InputError, match=r"no certificate of 'water'; there are none yet$"):
        asteroid.load_model(store.url, "water")
    atoms = molecule("H2O")
    atoms.calc = asteroid.load_model(store.url, "water", model_id=model_id)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    for created, other in (("2026-01-02T00:00:00+00:00", model_id), ("2026-01-01T00:00:00+00:00", "another")):
        certificate = replace(make_certificate(), model_id=other, created=created)
        records.write(store, f"reports/water/{other}-1/certificate.json", certificate, nulls=True)
    atoms.calc = asteroid.load_model(asteroid.open_store(store.url), "water")
    assert atoms.get_potential_energy() == energy
    np.testing.assert_array_equal(atoms.get_forces(), forces)
    with pytest.raises(InputError, match=r"no certificate of 'methane'; there are those of water$"):
        asteroid.load_model(store.url, "methane")


def test_a_notebook_shows_results_as_tables(trained: tuple[Store, str]) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    store, model_id = trained
    records.write(store, f"reports/water/{model_id}-2/certificate.json", make_certificate(), nulls=True)
    cells = (
        "import asteroid\nfrom ase.build import molecule\nasteroid.label(molecule('H2O'), 'gfn2-xtb')",
        f"store = asteroid.open_store({store.url!r})\nstore",
        "store.certificate('water')",
        f"asteroid.load_model(store, 'water', model_id={model_id!r})",
        "asteroid.api.Outcomes([{'molecule': 'a<b', 'passed': False, 'failure': 'no frame'}])",
    )
    assert len(repr(asteroid.open_store(store.url).certificate("water"))) < 400, "beside its table, it is a line"
    written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    # The kernel of this environment, also where Jupyter has another of its name.
    nbclient.NotebookClient(written, timeout=120, kernel_name="python3").execute()
    shown = [
        next(out["data"]["text/html"] for out in cell["outputs"] if "text/html" in out.get("data", {}))
        for cell in written.cells
    ]
    for page, text in zip(
        shown,
        (
            "<b>label: ok</b>",
            "<td>water</td><td>H2O</td>",
            "<td>Force MAE</td>",
            f"<b>model {model_id}</b>",
            "no frame",
        ),
        strict=True,
    ):
        assert text in page
    assert "<td>a&lt;b</td>" in shown[-1]


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lable'"):
        asteroid.lable  # noqa: B018
    assert set(asteroid.__all__) <= set(dir(asteroid))
