"""The manifest: one YAML file of defaults and molecules, checked before anything is spent.

A manifest is data from outside, so this is where plain-language errors live. Text comes in through
:mod:`asteroid.strict_yaml`, the blocks of settings through :mod:`asteroid.settings`; what passes is a :class:`Manifest`
of frozen settings that the rest of asteroid trusts. Whether a program can treat a level with unpaired electrons is the
labellers' knowledge and is asked there (``asteroid.engines.check_supported``).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from asteroid.configuration import Split, check_multiplicity, check_name
from asteroid.engines import check_elements, resolve
from asteroid.errors import InputError, MissingDependencyError, suggest
from asteroid.geometry_files import read_structures
from asteroid.groups import planned_frames
from asteroid.levels import LevelOfTheory
from asteroid.problems import printable, validate
from asteroid.quantities import Number
from asteroid.settings import (
    AcquisitionSettings,
    BudgetSettings,
    Engine,
    LabellingSettings,
    LabelSettings,
    ModelSettings,
    Sampler,
    SamplingSettings,
    Settings,
    Strategy,
    ThresholdSettings,
    TrainingSettings,
    ValidationSettings,
)
from asteroid.strategies import check_ladder, check_strategy
from asteroid.strict_yaml import read_yaml
from asteroid.structures import Composition, read_smiles

__all__ = [
    "AcquisitionSettings",
    "BudgetSettings",
    "Engine",
    "LabelSettings",
    "LabellingSettings",
    "Manifest",
    "ModelPlan",
    "ModelSettings",
    "MoleculeSettings",
    "Sampler",
    "SamplingSettings",
    "Settings",
    "Strategy",
    "ThresholdSettings",
    "TrainingSettings",
    "ValidationSettings",
    "check_manifest",
    "load_manifest",
]

logger = logging.getLogger(__name__)

CHEAP = LevelOfTheory("gfn2-xtb")
ACCURATE = LevelOfTheory("ccsd(t)", None, "cc-pvdz")
LONGEST_PROBLEM = 600
"""Characters: a problem quotes what was written, whatever that is."""
STORE_SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs")


@dataclass(frozen=True, kw_only=True)
class MoleculeSettings:
    """Everything that the manifest says about one molecule, the defaults merged in.

    Args:
        name: names its folders in the store.
        smiles, geometry: exactly one of them; ``geometry`` is an absolute path.
        charge: e.
        multiplicity: 2S + 1.
        engine: that computes the levels which several engines compute; None for the default of the level.
        acquisition: how accurate labels are bought in rounds; None where all are chosen before any model is trained.
        model: the model that the molecule trains or judges, where that is one of several molecules.
    """

    name: str
    smiles: str | None = None
    geometry: Path | None = None
    charge: int = 0
    multiplicity: int = 1
    cheap: LevelOfTheory = CHEAP
    accurate: LevelOfTheory = ACCURATE
    engine: Engine | None = None
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    labelling: LabellingSettings = field(default_factory=LabellingSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    acquisition: AcquisitionSettings | None = None
    model: "ModelPlan | None" = None

    @property
    def model_name(self) -> str:
        """The molecule's own name, unless its model is one of several molecules."""
        return self.model.name if self.model else self.name

    @property
    def trained_on(self) -> "tuple[MoleculeSettings, ...]":
        """The molecules whose labels train this molecule's model."""
        return self.model.molecules if self.model else (self,)

    @property
    def is_only_judged(self) -> bool:
        """Whether the model is judged on this molecule and has never seen it."""
        return all(member.name != self.name for member in self.trained_on)

    def accurate_labels(self, split: Split) -> int:
        """How many accurate labels are bought for a split; none to learn from of a molecule that only judges."""
        counts = {"train": self.budget.train, "valid": self.budget.valid, "test": self.budget.test}
        return 0 if self.is_only_judged and split != "test" else counts[split]

    @property
    def ladder(self) -> tuple[LevelOfTheory, ...]:
        """Levels between cheap and accurate, the lowest first."""
        return tuple(LevelOfTheory.parse(level, imported=True) for level in self.training.ladder)

    def label_settings(self, level: LevelOfTheory) -> LabelSettings:
        """How labels are computed at one of this molecule's two levels."""
        if level in self.ladder and level not in (self.cheap, self.accurate):
            return self.labelling.accurate.model_copy(update={"forces": True})
        return self.labelling.cheap if level == self.cheap else self.labelling.accurate

    def __post_init__(self) -> None:
        check_name(self.name)
        if (self.smiles is None) == (self.geometry is None):
            raise InputError(f"{self.name}: write either smiles or geometry")


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """A model of several molecules.

    Args:
        molecules: those that train it, and judge it as well.
        judge: those that judge it alone. Nothing but test labels and evidence is bought of them.
    """

    name: str
    molecules: tuple[MoleculeSettings, ...]
    judge: tuple[MoleculeSettings, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A manifest that has passed every check.

    Args:
        path: the file.
        store: where everything is kept, as written: a folder (relative to the working directory) or a URL.
        molecules: each with its model; a molecule of several models is there once for each.
    """

    path: Path
    store: str
    molecules: tuple[MoleculeSettings, ...]

    @property
    def models(self) -> dict[str, tuple[MoleculeSettings, ...]]:
        """The molecules that train or judge each model, by its name."""
        names = dict.fromkeys(molecule.model_name for molecule in self.molecules)
        return {name: tuple(m for m in self.molecules if m.model_name == name) for name in names}


class _Defaults(Settings):
    cheap: str = str(CHEAP)
    accurate: str = str(ACCURATE)
    engine: Engine | None = None
    sampling: SamplingSettings = SamplingSettings()
    labelling: LabellingSettings = LabellingSettings()
    budget: BudgetSettings = BudgetSettings()
    training: TrainingSettings = TrainingSettings()
    validation: ValidationSettings = ValidationSettings()
    acquisition: AcquisitionSettings | None = None


class _Molecule(_Defaults):
    name: str
    smiles: str | None = None
    geometry: str | None = None
    charge: Annotated[int, Number("e")] = 0
    multiplicity: int = 1


class _Model(Settings):
    name: str
    molecules: list[str] | Literal["all"]
    judge: list[str] = Field(default_factory=list)
    training: TrainingSettings = TrainingSettings()
    acquisition: AcquisitionSettings | None = None


class _File(Settings):
    """The outermost keys; what stands below ``molecules`` and ``models`` is read one by one."""

    store: str = "./store"
    defaults: dict[str, Any] = Field(default_factory=dict)
    molecules: list[Any]
    models: list[Any] = Field(default_factory=list)


def load_manifest(path: str | Path) -> Manifest:
    """Read a manifest and check all of it.

    Raises:
        InputError: with every problem found, one line each.
    """
    manifest, problems = _read(Path(path))
    if manifest is None:
        raise InputError(problems)
    return manifest


def check_manifest(path: str | Path) -> list[str]:
    """Every problem of a manifest, one line each: file, key, what was found, what to write."""
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[Manifest | None, list[str]]:
    try:
        content = read_yaml(path)
    except InputError as error:
        return None, list(error.problems)
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        return None, [f"{path}: found {found}; write keys and values, at least molecules:"]
    top, problems = validate(_File, content)
    raw_defaults = content.get("defaults") or {}
    raw_molecules = content.get("molecules")
    defaults_usable = isinstance(raw_defaults, dict)
    if defaults_usable:
        found_here = validate(_Defaults, raw_defaults)[1] + _check_levels(raw_defaults, path.parent)
        problems += [f"defaults.{problem}" for problem in found_here]
        defaults_usable = not found_here
    if top is not None and (problem := _check_store(top.store)):
        problems.append(problem)
    molecules: list[MoleculeSettings] = []
    if isinstance(raw_molecules, list):
        if not raw_molecules:
            problems.append("molecules: found an empty list; write at least one molecule")
        for index, raw in enumerate(raw_molecules):
            molecule, found_here = _read_molecule(raw, raw_defaults if defaults_usable else {}, path.parent)
            problems += [f"{_label(index, raw)}: {problem}" for problem in found_here]
            if molecule is not None:
                molecules.append(molecule)
        problems += _check_duplicates(raw_molecules, "molecules")
    if top is not None and top.models and not problems:
        molecules, problems = _read_models(top, molecules, path.parent)
    if problems or top is None:
        return None, [f"{path}: {printable(problem, most=LONGEST_PROBLEM)}" for problem in problems]
    return Manifest(path, top.store, tuple(molecules)), []


def _read_molecule(raw: object, defaults: dict[str, Any], folder: Path) -> tuple[MoleculeSettings | None, list[str]]:
    """One entry of ``molecules`` with the defaults under it, or what is wrong with it."""
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else f"{str(raw)[:40]!r}"
        return None, [f"found {found}; write keys and values, for example name: and smiles:"]
    problems = validate(_Molecule, raw)[1] + _check_levels(raw, folder)
    if problems:
        return None, problems
    entry, problems = validate(_Molecule, _merge(defaults, raw))
    if entry is None:
        return None, problems
    try:
        check_name(entry.name)
    except InputError as error:
        problems.append(str(error))
    cheap, accurate = (resolve(LevelOfTheory.parse(text), folder) for text in (entry.cheap, entry.accurate))
    if cheap == accurate:
        problems.append(f"accurate: found '{accurate}', which is the cheap level too; write a more accurate one")
    problems += _check_budget(entry.sampling, entry.budget)
    training = entry.training
    try:
        ladder = tuple(str(resolve(LevelOfTheory.parse(t), folder)) if ":" in t else t for t in training.ladder)
        training = training.model_copy(update={"ladder": ladder})
    except InputError as error:
        problems.append(f"training.ladder: found {error}")
    problems += check_strategy(training, entry.sampling, cheap_forces=entry.labelling.cheap.forces)
    problems += check_ladder(training, (cheap, accurate))
    problems += _check_acquisition(entry)
    if training.foundation is not None:
        foundation = (folder / training.foundation).resolve()
        training = training.model_copy(update={"foundation": str(foundation)})
        if not foundation.is_file():
            problems.append(f"training.foundation: found '{foundation}', where there is no file; write a model's path")

    geometry = None if entry.geometry is None else (folder / entry.geometry).resolve()
    try:
        numbers, charge, multiplicity = _composition(entry, geometry)
    except InputError as error:
        return None, problems + list(error.problems)
    for key, level in (("cheap", cheap), ("accurate", accurate)):
        try:
            check_elements(level, numbers)
        except InputError as error:
            problems.append(f"{key}: found {error}")
        except MissingDependencyError as error:
            # A machine that trains or serves need not have the quantum chemistry; the one that labels asks again.
            logger.warning("%s: the basis set of %s is not checked here: %s", entry.name, level, error)
    if problems:
        return None, problems
    return (
        MoleculeSettings(
            name=entry.name,
            smiles=entry.smiles,
            geometry=geometry,
            charge=charge,
            multiplicity=multiplicity,
            cheap=cheap,
            accurate=accurate,
            engine=entry.engine,
            sampling=entry.sampling,
            labelling=entry.labelling,
            budget=entry.budget,
            training=training,
            validation=entry.validation,
            acquisition=entry.acquisition,
        ),
        [],
    )


def _composition(entry: _Molecule, geometry: Path | None) -> tuple[tuple[int, ...], int, int]:
    """Atomic numbers, charge and multiplicity, as written or as the structure implies."""
    if entry.smiles is not None and geometry is not None:
        raise InputError("smiles and geometry: found both; write one of them")
    if entry.smiles is not None:
        try:
            composition = read_smiles(entry.smiles)
        except InputError as error:
            raise InputError(f"smiles: {error}") from None
        return composition.numbers, *_spin(entry, composition)
    if geometry is None:
        raise InputError("smiles: found neither smiles nor geometry; write one of them")
    # Only what is written can contradict the file.
    given = entry.model_dump(include={"charge", "multiplicity"}, exclude_unset=True)
    try:
        start = read_structures(geometry, **given)[0]
    except InputError as error:
        raise InputError(f"geometry: {error}") from None
    return tuple(int(z) for z in start.numbers), start.charge, start.multiplicity


def _spin(entry: _Molecule, composition: Composition) -> tuple[int, int]:
    """Charge and multiplicity, as written or as the SMILES implies."""
    charge = composition.charge
    if "charge" in entry.model_fields_set and entry.charge != charge:
        raise InputError(f"charge: found {entry.charge}, but the SMILES has {charge}; write one that agrees")
    given = "multiplicity" in entry.model_fields_set
    multiplicity = entry.multiplicity if given else composition.multiplicity
    try:
        check_multiplicity(sum(composition.numbers) - charge, multiplicity)
    except ValueError as error:
        raise InputError(f"{'multiplicity' if given else 'charge'}: {error}") from None
    return charge, multiplicity


def _check_budget(sampling: SamplingSettings, budget: BudgetSettings) -> list[str]:
    """Accurate labels are bought for sampled frames: each split must plan enough of them."""
    available = planned_frames(sampling)
    wanted: dict[Split, int] = {"train": budget.train, "valid": budget.valid, "test": budget.test}
    problems = []
    for split, count in wanted.items():
        have = available.get(split, 0)
        if count > have:
            key = "test" if split == "test" else "accurate"
            problems.append(
                f"budget.{key}: found {getattr(budget, key)}, which takes {count} {split} frames where "
                f"sampling.frames: {sampling.frames} gives {have}; write a smaller budget or more frames"
            )
    return problems


def _check_acquisition(entry: _Molecule) -> list[str]:
    """Whether a loop of rounds can begin, and can judge its models."""
    rounds, budget = entry.acquisition, entry.budget
    if rounds is None:
        return []
    problems = []
    if rounds.initial > budget.accurate:
        problems.append(
            f"acquisition.initial: found {rounds.initial}, more than budget.accurate: {budget.accurate}; "
            f"write {budget.accurate} or less"
        )
    elif not budget.model_copy(update={"accurate": rounds.initial}).valid:
        problems.append(
            f"acquisition.initial: found {rounds.initial}, of which budget.valid_fraction: {budget.valid_fraction:g} "
            "holds out none; write more"
        )
    if not entry.labelling.accurate.forces:
        problems.append(
            "acquisition: found with labelling.accurate.forces: false, but rounds are judged by their force errors; "
            "write forces: true, or acquisition: null"
        )
    if rounds.criterion == "bias" and not entry.labelling.cheap.forces:
        problems.append(
            "acquisition.criterion: found bias with labelling.cheap.forces: false, but the bias is that of the forces; "
            "write forces: true, or another criterion"
        )
    return problems


def _check_levels(raw: Mapping[str, Any], folder: Path) -> list[str]:
    problems = []
    for key in ("cheap", "accurate"):
        if isinstance(raw.get(key), str):
            try:
                resolve(LevelOfTheory.parse(raw[key]), folder)
            except InputError as error:
                problems.append(f"{key}: found {error}")
    return problems


def _check_store(store: str) -> str | None:
    scheme, separator, _ = store.partition("://")
    if not store.strip() or "\0" in store:
        return f"store: found {store!r}; write a folder or s3://bucket/prefix"
    if separator and scheme not in STORE_SCHEMES:
        return f"store: found the scheme '{scheme}'; {suggest(scheme, STORE_SCHEMES)}"
    return None


def _check_duplicates(entries: list[Any], key: str) -> list[str]:
    """Names that differ only in case are one folder on some file systems."""
    seen: dict[str, int] = {}
    problems = []
    for index, raw in enumerate(entries):
        name = raw.get("name") if isinstance(raw, dict) else None
        if isinstance(name, str):
            first = seen.setdefault(name.lower(), index)
            if first != index:
                problems.append(
                    f"{_label(index, raw, key)}: name: found {name!r}, which {key}[{first}] has too; write another one"
                )
    return problems


def _label(index: int, raw: object, key: str = "molecules") -> str:
    name = raw.get("name") if isinstance(raw, dict) else None
    return f"{key}[{index}] ({printable(name)})" if isinstance(name, str) else f"{key}[{index}]"


def _read_models(
    file: _File, molecules: Sequence[MoleculeSettings], folder: Path
) -> tuple[list[MoleculeSettings], list[str]]:
    """Every molecule with its model: those of ``models``, and one of its own for a molecule that none of them names."""
    problems = _check_duplicates(file.models, "models")
    found: list[MoleculeSettings] = []
    for index, raw in enumerate(file.models):
        plan, found_here = _read_model(raw, file, molecules, folder)
        problems += [f"{_label(index, raw, 'models')}: {problem}" for problem in found_here]
        if plan is not None:
            found += [replace(molecule, model=plan) for molecule in (*plan.molecules, *plan.judge)]
    named = {molecule.name for molecule in found}
    return [*found, *(molecule for molecule in molecules if molecule.name not in named)], problems


def _read_model(
    raw: object, file: _File, molecules: Sequence[MoleculeSettings], folder: Path
) -> tuple[ModelPlan | None, list[str]]:
    """One entry of ``models``, or what is wrong with it."""
    if not isinstance(raw, dict):
        return None, [f"found {str(raw)[:40]!r}; write keys and values, for example name: and molecules:"]
    below: dict[str, Any] = {key: file.defaults[key] for key in ("training", "acquisition") if key in file.defaults}
    model, problems = validate(_Model, _merge(below, raw))
    if model is None:
        return None, problems
    by_name = {molecule.name: (molecule, file.molecules[place]) for place, molecule in enumerate(molecules)}
    try:
        check_name(model.name)
    except InputError as error:
        problems.append(str(error))
    if model.name.lower() in {name.lower() for name in by_name}:
        problems.append(f"name: found '{model.name}', which is the name of a molecule; write another one")
    judge = list(dict.fromkeys(model.judge))
    trained = (
        [n for n in by_name if n not in judge] if model.molecules == "all" else list(dict.fromkeys(model.molecules))
    )
    for key, names in (("molecules", trained), ("judge", judge)):
        problems += [f"{key}: found '{n}', no molecule; {suggest(n, by_name)}" for n in names if n not in by_name]
    problems += [f"judge: found '{n}', which trains the model too; leave it out" for n in judge if n in trained]
    if not trained:
        problems.append("molecules: found an empty list; write at least one molecule")
    if model.acquisition is not None and len(trained) + len(judge) > 1:
        problems.append(
            "acquisition: found with a model of several molecules, whose labels are all chosen before it is trained; "
            "write acquisition: null"
        )
    if problems:
        return None, problems
    members: dict[str, MoleculeSettings] = {}
    for name in (*trained, *judge):
        _, written = by_name[name]
        if ignored := sorted({"training", "acquisition"} & written.keys()):
            problems.append(f"molecule '{name}' has {ignored[0]}: of its own; write it at the model")
        entry = {key: value for key, value in written.items() if key not in ("training", "acquisition")}
        above = {key: value for key, value in _merge(below, raw).items() if key in ("training", "acquisition")}
        settings, found_here = _read_molecule({**entry, **above}, file.defaults, folder)
        problems += [f"with molecule '{name}': {problem}" for problem in found_here]
        if settings is not None:
            members[name] = settings
    problems = list(dict.fromkeys(problems)) or _check_members(list(members.values()))
    if problems:
        return None, problems
    trainers, judges = (tuple(members[name] for name in names) for names in (trained, judge))
    return ModelPlan(name=model.name, molecules=trainers, judge=judges), []


def _check_members(members: Sequence[MoleculeSettings]) -> list[str]:
    """One model has labels of the same kinds from all its molecules."""
    first, problems = members[0], []
    for other in members[1:]:
        for key in ("cheap", "accurate"):
            ours, theirs = getattr(first, key), getattr(other, key)
            if ours != theirs:
                problems.append(
                    f"{key}: found '{ours}' for molecule '{first.name}' and '{theirs}' for '{other.name}'; "
                    "write one level for all"
                )
            elif first.label_settings(ours).forces != other.label_settings(theirs).forces:
                problems.append(
                    f"labelling.{key}.forces: found true and false for molecules '{first.name}' and '{other.name}'; "
                    "write one for all"
                )
        alike = (first.charge, first.multiplicity) == (other.charge, other.multiplicity)
        if first.training.strategy == "delta" and not alike:
            problems.append(
                f"training.strategy: found delta with molecules '{first.name}' and '{other.name}' of different charges "
                "or multiplicities; write corrected"
            )
    return problems


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, key by key; lists are replaced, not joined."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
