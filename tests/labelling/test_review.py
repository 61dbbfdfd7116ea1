"""Labels judged together: what belongs to the population stays, however hot; what does not is withdrawn."""

import datetime as dt

import numpy as np
import pytest

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.engines import make_labeller
from asteroid.labelling.review import FEWEST, outliers, review
from asteroid.store import Store
from asteroid.store.rows import Attempt, attempts_to_table
from asteroid.units import HARTREE, HARTREE_PER_BOHR
from tests.labelling.reference import FORMALDEHYDE, level, reference_file

GFN2, HF = level("gfn2-xtb"), level("hf/6-31g*")
BAD = 11
"""The frame whose label is spoilt."""


def displaced(count: int, size: float = 0.03) -> list[Configuration]:
    """Formaldehydes with every atom moved by normal noise of this size in Å."""
    noise = np.random.default_rng(5).normal(scale=size, size=(count, 4, 3))
    return [FORMALDEHYDE.with_positions(FORMALDEHYDE.positions + one) for one in noise]


def attempts(frame_ids, energies, forces):
    now = dt.datetime.now(dt.UTC)
    return [
        Attempt(frame_id=i, status="ok", energy=float(e), forces=f, wall_seconds=1.0, program="pyscf", time=now)
        for i, e, f in zip(frame_ids, energies, forces, strict=True)
    ]


def computed(configurations, at):
    results = [make_labeller(at).compute(c) for c in configurations]
    return np.array([r.energy for r in results]), np.array([r.forces for r in results])


@pytest.fixture(scope="module")
def labels():
    """30 formaldehydes: frame ids, then energies and forces of GFN2-xTB and of Hartree–Fock."""
    configurations = displaced(30)
    ids = [c.frame_id for c in configurations]
    return configurations, ids, computed(configurations, GFN2), computed(configurations, HF)


def judged(ids, accurate, cheap=None):
    return outliers(
        attempts_to_table(attempts(ids, *accurate)), None if cheap is None else attempts_to_table(attempts(ids, *cheap))
    )


def test_good_labels_are_kept(labels):
    _, ids, cheap, accurate = labels
    assert judged(ids, cheap) == judged(ids, accurate) == judged(ids, accurate, cheap) == {}


def excited_state(configuration):
    """The lowest singly excited determinant that keeps the closed shell: HOMO emptied into the LUMO."""
    from pyscf import gto, scf

    atoms = list(zip(configuration.symbols, configuration.positions, strict=True))
    field = scf.RHF(gto.M(atom=atoms, basis="6-31g*", verbose=0)).run()
    occupation = field.mo_occ.copy()
    homo = int(occupation.sum() // 2) - 1
    occupation[[homo, homo + 1]] = occupation[[homo + 1, homo]]
    excited = scf.addons.mom_occ(scf.RHF(field.mol), field.mo_coeff, occupation)
    excited.kernel(field.make_rdm1(field.mo_coeff, occupation))
    return excited.e_tot * HARTREE, -excited.nuc_grad_method().kernel() * HARTREE_PER_BOHR


@pytest.mark.parametrize(
    ("spoil", "figure"),
    [
        (lambda c, e, f: (e + 1.0, f), "eV from that expected from the cheap level"),
        (lambda c, e, f: (e - 1.0, f), "eV from that expected from the cheap level"),
        (lambda c, e, f: (e, -f), "eV/Å from those of the cheap level"),
        (lambda c, e, f: (e, f[::-1]), "eV/Å from those of the cheap level"),
        (lambda c, e, f: excited_state(c), "the cheap level"),
        # Carbon and oxygen mistaken for each other.
        (
            lambda c, e, f: [x[0] for x in computed([c.with_positions(c.positions[[1, 0, 2, 3]])], HF)],
            "the cheap level",
        ),
    ],
    ids=["1 eV above", "1 eV below", "gradient for force", "atoms reversed", "excited state", "permuted geometry"],
)
def test_a_label_that_disagrees_with_the_cheap_level_as_no_other_does_is_found(labels, spoil, figure):
    configurations, ids, cheap, (energies, forces) = labels
    energies, forces = energies.copy(), forces.copy()
    energies[BAD], forces[BAD] = spoil(configurations[BAD], energies[BAD], forces[BAD])
    found = judged(ids, (energies, forces), cheap)
    assert list(found) == [BAD]
    assert figure in found[BAD]


@pytest.mark.parametrize(("energy", "force", "figure"), [(-20, 1, "-20 eV from"), (0, 300, "largest force")])
def test_a_single_level_shows_what_is_far_outside(labels, energy, force, figure):
    _, ids, _, (energies, forces) = labels
    energies, forces = energies.copy(), forces.copy()
    energies[BAD] = np.median(energies) + energy
    forces[BAD] *= force
    found = judged(ids, (energies, forces))
    assert list(found) == [BAD]
    assert figure in found[BAD]


def test_several_bad_labels_do_not_hide_each_other(labels):
    _, ids, cheap, (energies, forces) = labels
    energies = energies.copy()
    energies[:8] += 1.5
    assert sorted(judged(ids, (energies, forces), cheap)) == list(range(8))


def test_few_labels_are_not_judged_by_their_likeness(labels):
    _, ids, cheap, (energies, forces) = labels
    energies = energies.copy()
    energies[BAD] += 100
    few = slice(FEWEST - 1)
    assert judged(ids[few], (energies[few], forces[few]), (cheap[0][few], cheap[1][few])) == {}


def test_energies_alone_are_judged_by_their_energies(labels):
    _, ids, cheap, (energies, _) = labels
    energies = energies.copy()
    energies[BAD] += 1.0
    assert list(judged(ids, (energies, [None] * len(ids)), cheap)) == [BAD]


@pytest.mark.parametrize(
    ("accurate", "cheap"),
    [
        ("ch2o_vpt2/ch2o_cc_avtz_3601.npz", "ch2o_vpt2/ch2o_mp2_avtz_3601.npz"),
        ("ch2o_vpt2/ch2o_cc_avtz_3601.npz", None),
        ("h2co_b3lyp_ccf12/h2co_ccsdt_avtz_4001.npz", "h2co_b3lyp_ccf12/h2co_B3LYP_cc-pVDZ_4001.npz"),
        ("h2co_b3lyp_ccf12/h2co_ccsdt_avtz_4001.npz", None),
    ],
)
def test_published_sets_with_frames_up_to_2000_kelvin_lose_no_label(accurate, cheap):
    data = np.load(reference_file(accurate))
    atoms, every = int(data["N"][0]), slice(None, None, 4)
    ids = [str(i) for i in range(len(data["E"][every]))]
    if cheap is None:
        other = computed([Configuration(data["Z"][0, :atoms], r) for r in data["R"][every, :atoms]], GFN2)
    else:
        there = np.load(reference_file(cheap))
        other = there["E"][every], there["F"][every, :atoms]
    ours = data["E"][every], data["F"][every, :atoms]
    assert judged(ids, ours, other) == judged(ids, other) == {}


def test_a_set_at_room_temperature_loses_no_label():
    from ase.io import read

    frames = read(reference_file("acetylacetone/train_300K.xyz"), index="::4")
    ids = [str(i) for i in range(len(frames))]
    cheap = computed([Configuration.from_atoms(a) for a in frames], GFN2)
    accurate = np.array([a.get_potential_energy() for a in frames]), np.array([a.get_forces() for a in frames])
    assert judged(ids, accurate, cheap) == {}


@pytest.fixture
def store(tmp_path, labels):
    """A store whose Hartree–Fock label of frame BAD is 2 eV too high."""
    configurations, ids, cheap, (energies, forces) = labels
    energies = energies.copy()
    energies[BAD] += 2.0
    store = Store(tmp_path)
    frames = [Frame(c, Origin("test", {}), f"g{i}", "train") for i, c in enumerate(configurations)]
    store.add_frames("ch2o", frames, batch="one")
    for at, (e, f) in ((GFN2, cheap), (HF, (energies, forces))):
        store.select("ch2o", at, ids, name="all", criterion="test")
        store.add_attempts("ch2o", at, attempts(ids, e, f))
    return store


def test_a_withdrawn_label_is_a_row_with_its_reason_and_never_computed_again(store, labels):
    bad = labels[1][BAD]
    (withdrawn,) = review(store, "ch2o", HF, cheap=GFN2)
    assert withdrawn.frame_id == bad
    rows = [row for row in store.attempts("ch2o", HF).to_pylist() if row["frame_id"] == bad]
    assert [row["status"] for row in rows] == ["ok", "rejected"]
    assert rows[1]["reason"] == withdrawn.reason
    assert rows[1]["wall_seconds"] == 0.0
    assert rows[1]["energy"] == rows[0]["energy"]
    assert bad not in store.labels("ch2o", HF)
    assert bad not in store.pending("ch2o", HF)
    assert len(store.labels("ch2o", HF)) == len(labels[1]) - 1


def test_a_second_review_withdraws_nothing_more(store):
    assert len(review(store, "ch2o", HF, cheap=GFN2)) == 1
    assert review(store, "ch2o", HF, cheap=GFN2) == []
    assert review(store, "ch2o", GFN2) == []


def test_the_minimum_of_a_large_molecule_is_no_outlier_below():
    # Energies of 3N - 6 classical oscillators at 300 K, and the minimum itself; 400 atoms.
    atoms, kt = 400, 0.02585
    energy = np.append(np.random.default_rng(0).gamma((3 * atoms - 6) / 2, kt, size=60), 0.0)
    rows = [
        Attempt(frame_id=f"{i:032x}", status="ok", energy=float(e), time=dt.datetime.now(dt.UTC))
        for i, e in enumerate(energy)
    ]
    assert list(outliers(attempts_to_table(rows), atoms=3)) == [60]
    assert outliers(attempts_to_table(rows), atoms=atoms) == {}
