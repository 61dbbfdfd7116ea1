"""A manifest is read as meant, and every mistake in one is a single line that says what to write."""

import re
import string
from pathlib import Path

import ase.io
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from asteroid.errors import InputError
from asteroid.manifest import MoleculeSettings, Settings, load_manifest
from asteroid.quantities import number_of
from tests.manifest_problems import check_manifest

MINIMAL = "molecules: [{name: water, smiles: O}]"


def problems_of(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "m.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    problems = check_manifest(path)
    assert all("\n" not in problem and problem.startswith(f"{path}: ") for problem in problems)
    return [problem.removeprefix(f"{path}: ") for problem in problems]


def only(folder: Path, entry: str, before: str = "") -> str:
    """The one problem of a manifest with this molecule."""
    found = problems_of(folder, f"{before}\nmolecules:\n  - {{name: water, {entry}}}")
    assert len(found) == 1, found
    return found[0]


def load(folder: Path, text: str) -> tuple[MoleculeSettings, ...]:
    path = folder / "m.yaml"
    path.write_text(text)
    return load_manifest(path).molecules


def test_defaults_are_merged_key_by_key(tmp_path: Path) -> None:
    first, second = load(
        tmp_path,
        """
store: s3://bucket/prefix
defaults: {cheap: GFN1-xTB, accurate: mp2/cc-pvdz, engine: tblite, sampling: {frames: 600, seed: 3}}
molecules:
  - {name: formaldehyde, smiles: C=O}
  - {name: methanol, smiles: CO, cheap: gfn2-xtb, sampling: {seed: 4, temperatures: [300]}, training: {gamma: 0.1}}
""",
    )
    assert load_manifest(tmp_path / "m.yaml").store == "s3://bucket/prefix"
    assert (str(first.cheap), str(first.accurate), first.engine) == ("gfn1-xtb", "mp2/cc-pvdz", "tblite")
    assert (str(second.cheap), str(second.accurate)) == ("gfn2-xtb", "mp2/cc-pvdz")
    assert (first.sampling.frames, first.sampling.seed) == (600, 3)
    assert (second.sampling.frames, second.sampling.seed, second.sampling.temperatures) == (600, 4, (300.0,))
    assert (first.training.gamma, second.training.gamma) == ("auto", 0.1)


def test_words_that_other_yaml_readers_take_for_booleans_are_names(tmp_path: Path) -> None:
    nitric_oxide = load(tmp_path, "molecules: [{name: NO, smiles: '[N]=O', accurate: mp2/cc-pvdz}]")[0]
    assert nitric_oxide.name == "NO"
    assert nitric_oxide.multiplicity == 2


@pytest.mark.parametrize(
    ("smiles", "charge", "multiplicity"),
    [("O", 0, 1), ("'[OH-]'", -1, 1), ("'[NH4+]'", 1, 1), ("'[CH3]'", 0, 2), ("'[CH2]'", 0, 3), ("O.O", 0, 1)],
)
def test_charge_and_multiplicity_follow_from_the_smiles(
    tmp_path: Path, smiles: str, charge: int, multiplicity: int
) -> None:
    molecule = load(tmp_path, f"molecules: [{{name: x, smiles: {smiles}}}]")[0]
    assert (molecule.charge, molecule.multiplicity) == (charge, multiplicity)


def test_a_geometry_is_found_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "oh.xyz").write_text("2\n\nO 0 0 0\nH 0 0 0.97\n")
    molecule = load(tmp_path, "molecules: [{name: oh, geometry: oh.xyz}]")[0]
    assert molecule.geometry == tmp_path / "oh.xyz"
    assert molecule.multiplicity == 2
    assert load(tmp_path, "molecules: [{name: oh, geometry: oh.xyz, charge: -1}]")[0].multiplicity == 1


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "molecules: [{name: a, smiles: O, sampling: &s {seed: 5}}, {name: b, smiles: O, sampling: {<<: *s}}]"
    assert load(tmp_path, text)[1].sampling.seed == 5


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("smiles: 'C('", "smiles: found 'C(', which is not a SMILES; write one such as 'CO' (methanol)"),
        ("smiles: [OH-]", "smiles: found [\"OH-\"]; write text, in quotes: '[OH-]'"),
        ("smiles: ''", "smiles: found '', which is not a SMILES"),
        ("smiles: '[He]'", "smiles: found '[He]', which has 1 atom; write a molecule of at least two"),
        ("smiles: '*C'", "smiles: found '*C', which has atoms of no known element"),
        ("smilse: O", "smilse: unknown key; did you mean 'smiles'?"),
        ("charge: 0", "smiles: found neither smiles nor geometry"),
        ("smiles: O, geometry: a.xyz", "smiles and geometry: found both; write one of them"),
        ("geometry: nowhere.xyz", "where there is no file"),
        ("smiles: O, charge: 1", "charge: found 1, but the SMILES has 0"),
        ("smiles: O, charge: no", "charge: found 'no'; write a whole number (in e)"),
        ("smiles: O, charge: 1.5", "charge: found 1.5; write a whole number"),
        ("smiles: O, multiplicity: 2", "multiplicity 2 is impossible for 10 electrons; write an odd one"),
        ("smiles: O, cheap: gfn2xtb", "cheap: found 'gfn2xtb': unknown method 'gfn2xtb'; did you mean 'gfn2-xtb'?"),
        ("smiles: O, accurate: mp2", "mp2 needs a basis set; write for example mp2/def2-svp"),
        ("smiles: O, accurate: mp2/cc-pvbz", "accurate: found 'mp2/cc-pvbz': unknown basis set 'cc-pvbz'; did you"),
        ("smiles: O, accurate: gfn2-xtb", "accurate: found 'gfn2-xtb', which is the cheap level too"),
        ("smiles: 'C[Au]', accurate: mp2/def2-svp", "Au needs relativity"),
        (
            "smiles: O, labelling: {accurate: {forces: maybe}}",
            "labelling.accurate.forces: found 'maybe'; write true or false",
        ),
        (
            "smiles: O, labelling: {accurate: {forces: null}}",
            "labelling.accurate.forces: found nothing; write true or false",
        ),
        ("smiles: O, engine: tblit", "engine: found 'tblit'; did you mean 'tblite'?"),
        ("smiles: O, sampling: {framse: 5}", "sampling.framse: unknown key; did you mean 'frames'?"),
        ("smiles: O, sampling: {frames: 1e3}", "sampling.frames: found 1000.0; write a whole number: 1000"),
        ("smiles: O, sampling: {frames: 5}", "sampling.frames: found 5; write 10 or more"),
        ("smiles: O, sampling: {frames: true}", "sampling.frames: found true; write a whole number"),
        ("smiles: O, sampling: {frames: '600'}", "sampling.frames: found '600'; write a whole number"),
        ("smiles: O, sampling: {temperatures: 300}", "sampling.temperatures: found 300; write a list: [300]"),
        ("smiles: O, sampling: {temperatures: []}", "sampling.temperatures: found []; write at least one value (in K)"),
        ("smiles: O, sampling: {temperatures: [.nan]}", "sampling.temperatures[0]: found NaN; write a finite"),
        ("smiles: O, sampling: {timestep: -.inf}", "sampling.timestep: found -Infinity; write a"),
        ("smiles: O, sampling: {methods: [mdd]}", "sampling.methods[0]: found 'mdd'; did you mean 'md'?"),
        ("smiles: O, sampling: ", "sampling: found nothing; write keys and values, or remove it"),
        ("smiles: O, training: {gamma: atuo}", "training.gamma: found 'atuo'; did you mean 'auto'?"),
        ("smiles: O, training: {gamma: 0}", "training.gamma: found 0; write 'auto' or a number above 0 (in eV/Å)"),
        ("smiles: O, training: {model: {max_l: 9}}", "training.model.max_l: found 9; write 3 or less"),
        ("smiles: O, training: {strategy: unweighted, foundation: x.model}", "training.foundation: found"),
        ("smiles: O, budget: {test: 500}", "which takes 500 test frames where sampling.frames: 1000 gives 200"),
        ("smiles: O, sampling: {frames: 100}, budget: {accurate: 10, test: 21}", "gives 20; write a smaller budget"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_its_key(tmp_path: Path, entry: str, expected: str) -> None:
    problem = only(tmp_path, entry)
    assert problem.startswith("molecules[0] (water): ")
    assert expected in problem


def test_every_setting_with_a_dimension_says_its_unit_when_it_asks_for_a_number() -> None:
    """The comments of the reference manifest name units too: the two agree."""
    reference = (Path(__file__).parents[1] / "manifests" / "reference.yaml").read_text()
    commented = dict(
        re.findall(r"^[ #]*(\w+): [^#\n]*# (K|fs|s|MiB|Å|eV/Å|eV/atom/ps|eV/atom|cm⁻¹|meV|degrees)\b", reference, re.M)
    )
    fields = {name: field for block in blocks(Settings) for name, field in block.model_fields.items()}
    assert len(commented) > 15
    assert {name: number_of(fields[name]).unit for name in commented} == commented


def blocks(base: type[Settings]) -> list[type[Settings]]:
    return [block for each in base.__subclasses__() for block in (each, *blocks(each))]


def test_a_mistake_in_the_defaults_is_told_once(tmp_path: Path) -> None:
    text = "defaults: {cheap: gfn3, sampling: {seed: -1}}\nmolecules: [{name: a, smiles: O}, {name: b, smiles: O}]"
    assert sorted(problem.split(":")[0] for problem in problems_of(tmp_path, text)) == [
        "defaults.cheap",
        "defaults.sampling.seed",
    ]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("stor: x\nmolecules: [{name: a, smiles: 'C('}, {name: b, smiles: O, charge: 1}, 3]")
    with pytest.raises(InputError) as caught:
        load_manifest(path)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a b", "", "x" * 65, "wasser\u00e9", "'a\\nb'"])
def test_a_name_cannot_leave_the_store(tmp_path: Path, name: str) -> None:
    found = problems_of(tmp_path, yaml.safe_dump({"molecules": [{"name": name, "smiles": "O"}]}))
    assert len(found) == 1
    assert "cannot be a folder of the store" in found[0]


def test_names_that_differ_only_in_case_are_duplicates(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "molecules: [{name: CO, smiles: CO}, {name: Co, smiles: O}]")
    assert found == ["molecules[1] (Co): name: found 'Co', which molecules[0] has too; write another one"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "found nothing; write keys and values, at least molecules:"),
        ("- a", "found a list"),
        ("just text", "found a str"),
        ("molecules: []", "molecules: found an empty list"),
        ("store: x", "molecules: not there; write molecules:"),
        ("molecules: {name: a}", "molecules: found"),
        (MINIMAL + "\nstore: ''", "store: found ''"),
        (MINIMAL + "\nstore: s4://x", "store: found the scheme 's4'; "),
        (MINIMAL + "\nstore: s3://key:hidden@bucket/prefix", "store: the URL holds a secret key, "),
        (MINIMAL + "\ndefaults: 3", "defaults: found 3; write keys and values"),
        (
            MINIMAL + "\nstore: a\nstore: b",
            'line 3: found duplicate key "store" with value "b" (original value: "a"); remove one',
        ),
        ("molecules:\n\t- a", "line 2: a tab, which YAML does not allow here; write spaces"),
        ("molecules: [", "line 1: "),
        ("molecules: *", "put text that begins with * or & in quotes"),
        (b"molecules: \xe9", "line 1: not UTF-8 text"),
        ("a: \x07", "line 1: a control character, U+0007"),
        ('a: "\\ud800"', "line 1: half a character"),
        ("a: !!python/object:os.system {}", "line 1: the tag tag:yaml.org,2002:python/object:os.system"),
        ("a: !!timestamp 2001-99-99", "line 1: the tag"),
        ("a: &a [*a]", "line 1: an anchor that contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("a: " + "[" * 40 + "]" * 40, "nested more than"),
        ("? [a]\n: b", "line 1: a list or mapping where a key is expected"),
        ("a: " + "9" * 5000, "a number of more than"),
        ("a: 1\n---\nb: 2", "line 2: "),
        (b"#" * (2**20 + 1), "larger than 1024 KiB"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_clear_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    found = problems_of(tmp_path, text)
    assert len(found) == 1
    assert expected in found[0]


def test_absent_files_and_folders_are_said_so(tmp_path: Path) -> None:
    assert check_manifest(tmp_path / "no.yaml") == [f"{tmp_path}/no.yaml: no such file; write the path of a manifest"]
    assert check_manifest(tmp_path) == [f"{tmp_path}: is a folder; write the path of a manifest"]


def test_anchors_cannot_blow_a_small_file_up(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    found = problems_of(tmp_path, "\n".join(lines))
    assert "values once anchors are written out" in found[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("nonsense", "line 1: found nonsense; write the number of atoms of a frame"),
        ("2\n\nO 0 0 0\nH 0 0 0.01\n", "two atoms are 0.01 Å apart"),
        ("1\n\nO 0 0 0\n", "write a molecule of at least two"),
        ("2\n\nO 0 0 0\nH 0 0 nan\n", "not finite"),
        ('2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nO 0 0 0\nH 0 0 1\n', "periodic"),
        ("2\n\nX 0 0 0\nH 0 0 1\n", "no known element"),
        ("2\n\nO 0 0 0\nH 0 0 1e308\n", "an atom is at 1e+308 Å, more than 1e+06; write coordinates in Å"),
        ("2\n\nO 0 0 0\nH 0 0 90\n", "two parts are 90.0 Å apart, more than 10"),
        ("2\n\nO 0 0 0\nH 0 0 0.51\n", "atoms are 0.53 times a covalent bond from their neighbours"),
        ("1000000000\n\nO 0 0 0\n", "line 1: found 1000000000 atoms; write a molecule of at most 1000"),
        ("2\n\nO 0 0 0\nH 0 0 1\n999999999\n\nO 0 0 0\n", "line 5: found 999999999 atoms"),
        ("2\ncharge=0.3\nO 0 0 0\nH 0 0 1\n", "charge: found 0.3 in the file; write a whole number there"),
        ("2\nspin=0\nO 0 0 0\nH 0 0 1\n", "multiplicity is 0; write 2S + 1 there, 1 or more"),
        ("2\nspin=1\nO 0 0 0\nH 0 0 1\n", "multiplicity 1 is impossible for 9 electrons"),
        ("2\ncharge=1 total_charge=0\nO 0 0 0\nH 0 0 1\n", "found charge 1 and total_charge 0 in the file"),
        (
            "2\n\nO 0 0 0\nH 0 0 1\n2\ncharge=1\nO 0 0 0\nH 0 0 1\n",
            "whose frame 1 has charge 1 and multiplicity 1, frame 0 0",
        ),
    ],
)
def test_a_geometry_that_cannot_be_used_is_one_line(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "g.xyz").write_text(content)
    assert expected in only(tmp_path, "geometry: g.xyz")


def test_a_file_of_different_molecules_is_refused_and_not_cut_to_its_first_frame(tmp_path: Path) -> None:
    water = ase.Atoms("OH2", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    ase.io.write(tmp_path / "t@1.extxyz", [water, ase.Atoms("N2", [[0, 0, 0], [0, 0, 1.1]])])
    problem = only(tmp_path, "geometry: t@1.extxyz")
    assert "whose frame 1 is N2 with other atoms or in another order than frame 0 (H2O)" in problem
    assert "write one file for each molecule" in problem


def test_charge_and_multiplicity_of_a_file_count_where_nothing_else_is_written(tmp_path: Path) -> None:
    (tmp_path / "ion.xyz").write_text("2\ncharge=1 spin=3\nO 0 0 0\nH 0 0 1.03\n")
    load_ion = "molecules: [{{name: ion, geometry: ion.xyz{}}}]"
    for written in ("", ", charge: 1", ", charge: 1, multiplicity: 3"):
        (molecule,) = load(tmp_path, load_ion.format(written))
        assert (molecule.charge, molecule.multiplicity) == (1, 3)
    assert "charge: found 0, but the file says 1; write 1, or correct the file" in only(
        tmp_path, "geometry: ion.xyz, charge: 0"
    )
    assert "multiplicity: found 1, but the file says 3" in only(tmp_path, "geometry: ion.xyz, multiplicity: 1")


def test_weights_from_forces_that_the_cheap_labels_lack_are_refused(tmp_path: Path) -> None:
    text = "molecules: [{{name: w, smiles: O, labelling: {{cheap: {{forces: false}}}}, training: {{strategy: {}}}}}]"
    for strategy in ("weighted", "corrected"):
        (problem,) = problems_of(tmp_path, text.format(strategy).encode())
        assert f"labelling.cheap.forces: found false with the strategy {strategy}" in problem
    assert problems_of(tmp_path, text.format("unweighted").encode()) == []


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ("strategy: delta", "training.strategy: found delta, whose model needs the cheap method at run time"),
        ("strategy: foundation", "training.foundation: found nothing with the strategy foundation"),
        ("strategy: scratch, foundation: m.model", "with the strategy scratch, which starts from random weights"),
        ("strategy: multihead, foundation: m.model", "with the strategy multihead, which starts from random weights"),
        ("strategy: score-matching}, sampling: {methods: [normal-modes]", "sampling.methods: found normal-modes with"),
        ("ladder: [gfn2-xtb]", "training.ladder: found 'gfn2-xtb', which is there already"),
        ("ladder: [mp2/cc-pvdz, mp2/cc-pvdz]", "training.ladder: found 'mp2/cc-pvdz', which is there already"),
        ("ladder: [mp3/cc-pvdz!]", "training.ladder: found"),
        ("strategy: scratch, ladder: [mp2/cc-pvdz]", "with the strategy scratch, which does not use them"),
        ("strategy: multihed", "training.strategy: found 'multihed'; did you mean 'multihead'?"),
        ("weights: atoms", "training.weights: found 'atoms'; did you mean 'atom'?"),
        ("teachers: 0", "training.teachers: found 0; write 1 or more"),
    ],
)
def test_a_strategy_that_cannot_be_had_is_one_line(tmp_path: Path, training: str, expected: str) -> None:
    (tmp_path / "m.model").write_bytes(b"")
    assert expected in only(tmp_path, f"smiles: O, training: {{{training}}}")


@pytest.mark.parametrize("strategy", ["foundation", "unweighted", "weighted"])
def test_a_model_to_start_from_is_taken_by_strategies_that_start_from_one(tmp_path: Path, strategy: str) -> None:
    (tmp_path / "m.model").write_bytes(b"")
    entry = f"molecules: [{{name: w, smiles: O, training: {{strategy: {strategy}, foundation: m.model}}}}]"
    (molecule,) = load(tmp_path, entry)
    assert molecule.training.foundation == str(tmp_path / "m.model")


KEYS = st.sampled_from(
    [
        "store",
        "defaults",
        "molecules",
        "name",
        "smiles",
        "geometry",
        "charge",
        "multiplicity",
        "cheap",
        "accurate",
        "engine",
        "sampling",
        "budget",
        "training",
        "validation",
        "frames",
        "temperatures",
        "model",
        "gamma",
        "test",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["O", "C=O", "gfn2-xtb", "mp2/cc-pvdz", "[OH-]", "auto", "md", "water"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@FUZZ
@given(st.dictionaries(KEYS, VALUES, max_size=3), VALUES, st.dictionaries(KEYS, VALUES, max_size=5))
def test_no_yaml_gives_a_traceback(
    tmp_path: Path, top: dict[str, object], other: object, entry: dict[str, object]
) -> None:
    content = {**top, "molecules": [{"name": "a", "smiles": "O", **entry}, other]}
    for text in (yaml.safe_dump(content, allow_unicode=True), yaml.safe_dump(content, default_flow_style=True)):
        problems_of(tmp_path, text.encode(errors="surrogatepass"))


@FUZZ
@given(st.binary(max_size=60) | st.text(string.printable + "\u0085\ufeff", max_size=60).map(str.encode))
@example(b"a: 0b_")
@example(b"a: 2001-99-99")
@example(b"a: !<tag:yaml.org,2002:int> x")
@example(b"a: !!int ''")
@example(b"a: {<<: [1]}")
@example(b"=: 1")
def test_no_bytes_give_a_traceback(tmp_path: Path, data: bytes) -> None:
    assert problems_of(tmp_path, data)


def test_a_loop_of_rounds_is_off_by_default_and_may_be_switched_on_for_all_and_off_for_one(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL)[0].acquisition is None
    first, second, third = load(
        tmp_path,
        "defaults: {acquisition: {batch: 3}}\n"
        "molecules: [{name: a, smiles: O}, {name: b, smiles: O, acquisition: null}, "
        "{name: c, smiles: O, acquisition: {initial: 7}}]",
    )
    assert first.acquisition is not None
    assert (first.acquisition.batch, first.acquisition.initial) == (3, 20)
    assert second.acquisition is None
    assert third.acquisition is not None
    assert (third.acquisition.batch, third.acquisition.initial) == (3, 7)


def test_rounds_that_cannot_begin_or_cannot_be_judged_are_one_line_each(tmp_path: Path) -> None:
    begins = "smiles: O, acquisition: {initial: 30}, budget: {accurate: 20}"
    assert only(tmp_path, begins) == (
        "molecules[0] (water): acquisition.initial: found 30, more than budget.accurate: 20; write 20 or less"
    )
    held_out = "smiles: O, acquisition: {initial: 5}, budget: {valid_fraction: 0.05}"
    assert only(tmp_path, held_out) == (
        "molecules[0] (water): acquisition.initial: found 5, of which budget.valid_fraction: 0.05 holds out none; "
        "write more"
    )
    energies = "smiles: O, acquisition: {}, labelling: {accurate: {forces: false}}, training: {strategy: unweighted}"
    assert only(tmp_path, energies) == (
        "molecules[0] (water): acquisition: found with labelling.accurate.forces: false, but rounds are judged by "
        "their force errors; write forces: true, or acquisition: null"
    )
    blind = "labelling: {cheap: {forces: false}}, training: {strategy: scratch}"
    bias = f"smiles: O, acquisition: {{criterion: bias}}, {blind}"
    assert only(tmp_path, bias) == (
        "molecules[0] (water): acquisition.criterion: found bias with labelling.cheap.forces: false, but the bias is "
        "that of the forces; write forces: true, or another criterion"
    )
    assert only(tmp_path, "smiles: O, acquisition: {criterion: comittee}") == (
        "molecules[0] (water): acquisition.criterion: found 'comittee'; did you mean 'committee'?"
    )
    assert "acquisition.batchs: unknown key; did you mean 'batch'?" in only(
        tmp_path, "smiles: O, acquisition: {batchs: 3}"
    )


def test_a_chain_is_chosen_where_the_manifest_leaves_it_and_contradictions_are_one_line_each(tmp_path: Path) -> None:
    (water,) = load(tmp_path, "molecules: [{name: water, smiles: O, chain: auto, budget: {core_hours: 2}}]")
    assert (water.chain, water.budget.core_hours) == ("auto", 2.0)
    assert load(tmp_path, MINIMAL)[0].chain == "auto", "only a molecule is named"
    for named in (
        "cheap: gfn2-xtb",
        "chain: null",
        "training: {ladder: [hf/sto-3g]}",
        "training: {strategy: unweighted}",
        "budget: {accurate: 29}",
        "labelling: {accurate: {forces: false}}",
    ):
        assert load(tmp_path, f"molecules: [{{name: water, smiles: O, {named}}}]")[0].chain is None, named
    text = "defaults: {cheap: gfn1-xtb}\nmolecules: [{name: water, smiles: O}]"
    assert load(tmp_path, text)[0].chain is None
    both = "smiles: O, chain: auto, training: {ladder: [hf/sto-3g]}"
    assert only(tmp_path, both) == (
        "molecules[0] (water): chain: found auto with training.ladder, whose levels it would choose; write one of them"
    )
    assert "found auto with training.strategy: scratch" in only(
        tmp_path, "smiles: O, chain: auto, training: {strategy: scratch}"
    )


def test_each_level_in_between_may_have_its_own_number_of_labels(tmp_path: Path) -> None:
    (water,) = load(
        tmp_path,
        "molecules: [{name: water, smiles: O, budget: {ladder: [300, 80]}, training: {ladder: [hf/sto-3g, hf/6-31g]}}]",
    )
    assert [(str(level), count) for level, count in water.ladder_labels.items()] == [
        ("hf/sto-3g", 300),
        ("hf/6-31g", 80),
    ]
    assert only(tmp_path, "smiles: O, budget: {ladder: [300, 80]}, training: {ladder: [hf/sto-3g]}") == (
        "molecules[0] (water): budget.ladder: found 2 numbers for 1 levels of training.ladder; write one for each, or "
        "one number for all"
    )


def test_a_composite_level_has_one_spelling_wherever_it_is_written(tmp_path: Path) -> None:
    (water,) = load(
        tmp_path,
        "defaults: {accurate: CCSD(T)/cc-pVDZ - mp2/cc-pvdz + mp2/cc-pvtz}\n"
        "molecules: [{name: water, smiles: O, training: {ladder: [hf/cc-pvtz, 'MP2/cbs(D, T)']}}]",
    )
    assert str(water.accurate) == "mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz"
    assert water.training.ladder == ("hf/cc-pvtz", "mp2/cbs(d,t)")
    assert [len(level.parts) for level in water.ladder] == [0, 4]
    # As JSON for a worker, and back.
    adapter = TypeAdapter(MoleculeSettings)
    again = adapter.validate_python(adapter.dump_python(water, mode="json"))
    assert again == water
    assert again.accurate.parts == water.accurate.parts


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("accurate: mp2/cc-pvtz + ccsd(t)/cc-pvdz", "accurate: found 'mp2/cc-pvtz + ccsd(t)/cc-pvdz': the weights sum"),
        ("accurate: 'mp2/cbs(t,d)'", "write mp2/cbs(d,t)"),
        ("accurate: 'ccsd(t)/cbs(d,t)', smiles: '[K]Cl'", "accurate: found 'hf/cc-pvdz': basis set 'cc-pvdz' has no"),
        ("cheap: hf/3-21g + mp2/sto-3g - hf/sto-3g", "a composite level; write one level, such as hf/3-21g"),
        (
            "training: {ladder: [mp2/cc-pvtz + ccsd/cc-pvdz]}",
            "training.ladder: found 'mp2/cc-pvtz + ccsd/cc-pvdz': the",
        ),
    ],
)
def test_a_composite_level_that_cannot_be_had_is_one_line(tmp_path: Path, entry: str, expected: str) -> None:
    assert expected in only(tmp_path, entry if "smiles" in entry else f"smiles: O, {entry}")
