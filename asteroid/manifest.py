"""The manifest: one YAML file of defaults and molecules, checked before anything is spent.

A manifest is data from outside, so this is where plain-language errors live. Text comes in through
:mod:`asteroid.strict_yaml`, the blocks of settings through :mod:`asteroid.settings`; what passes is a :class:`Manifest`
of frozen settings that the rest of asteroid trusts. Whether a program can treat a level with unpaired electrons is the
labellers' knowledge and is asked there (``asteroid.engines.check_supported``).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

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
from asteroid.strategy_rules import check_ladder, check_strategy
from asteroid.strict_yaml import read_yaml
from asteroid.structures import Composition, read_smiles

__all__ = [
    "AcquisitionSettings",
    "BudgetSettings",
    "Engine",
    "LabelSettings",
    "LabellingSettings",
    "Manifest",
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


@dataclass(frozen=True)
class Manifest:
    """A manifest that has passed every check.

    Args:
        path: the file.
        store: where everything is kept, as written: a folder (relative to the working directory) or a URL.
    """

    path: Path
    store: str
    molecules: tuple[MoleculeSettings, ...]


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


class _File(Settings):
    """The outermost keys; what stands below ``molecules`` is read one by one."""

    store: str = "./store"
    defaults: dict[str, Any] = Field(default_factory=dict)
    molecules: list[Any]


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
        problems += _check_duplicates(raw_molecules)
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


def _check_duplicates(raw_molecules: list[Any]) -> list[str]:
    """Names that differ only in case are one folder on some file systems."""
    seen: dict[str, int] = {}
    problems = []
    for index, raw in enumerate(raw_molecules):
        name = raw.get("name") if isinstance(raw, dict) else None
        if isinstance(name, str):
            first = seen.setdefault(name.lower(), index)
            if first != index:
                problems.append(
                    f"{_label(index, raw)}: name: found {name!r}, which molecules[{first}] has too; write another one"
                )
    return problems


def _label(index: int, raw: object) -> str:
    name = raw.get("name") if isinstance(raw, dict) else None
    return f"molecules[{index}] ({printable(name)})" if isinstance(name, str) else f"molecules[{index}]"


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, key by key; lists are replaced, not joined."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
