"""A checked manifest with its molecules and models, and the entries of the YAML file.

The dataclasses are checked settings for the rest of asteroid; pydantic reads the entries below them. Blocks of settings
are in :mod:`asteroid.settings`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from asteroid.configuration import Split, check_name
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.quantities import Number
from asteroid.settings import (
    AcquisitionSettings,
    BudgetSettings,
    Engine,
    LabellingSettings,
    LabelSettings,
    SamplingSettings,
    Settings,
    TrainingSettings,
    ValidationSettings,
)

CHEAP = LevelOfTheory("gfn2-xtb")
ACCURATE = LevelOfTheory("ccsd(t)", None, "cc-pvdz")


@dataclass(frozen=True)
class SettledChain:
    """A chosen chain of levels; ``training.ladder`` and ``budget.ladder`` have its levels and their numbers of labels.

    Args:
        core_seconds: for training and held-out labels at all its levels. Rounds distribute them; the numbers of labels
            are those planned when they are spent.
        budget: ``budget.accurate`` of the manifest, whose cost is divided among the levels.
    """

    core_seconds: float
    budget: int


@dataclass(frozen=True, kw_only=True)
class MoleculeSettings:
    """Settings of one molecule, merged with the defaults.

    Args:
        name: names its folders in the store.
        smiles, geometry: exactly one of them; ``geometry`` is an absolute path.
        charge: e.
        multiplicity: 2S + 1.
        engine: for levels that several engines compute; None for the default engine.
        chain: ``auto`` if a pilot is to choose the levels between cheap and accurate and the labels at each, then its
            choice; None if the manifest names the levels.
        acquisition: settings of rounds of accurate labels; None where all labels are chosen before training.
        model: the model of several molecules that this one trains or validates; None for its own model.
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
    chain: Literal["auto"] | SettledChain | None = None
    acquisition: AcquisitionSettings | None = None
    model: "ModelPlan | None" = None

    @property
    def model_name(self) -> str:
        """Name of the model: that of the molecule, unless it is a model of several molecules."""
        return self.model.name if self.model else self.name

    @property
    def trained_on(self) -> "tuple[MoleculeSettings, ...]":
        """The molecules whose labels train this molecule's model."""
        return self.model.molecules if self.model else (self,)

    def with_change(self, change: "Callable[[MoleculeSettings], MoleculeSettings]") -> "MoleculeSettings":
        """This molecule with a change applied to it and to all molecules that train its model."""
        model = self.model and replace(self.model, molecules=tuple(map(change, self.model.molecules)))
        return replace(change(self), model=model)

    @property
    def is_only_judged(self) -> bool:
        """Whether this molecule only validates the model, without training it."""
        return all(member.name != self.name for member in self.trained_on)

    def accurate_labels(self, split: Split) -> int:
        """Number of accurate labels of a split; a molecule that only validates has only test labels."""
        counts = {"train": self.budget.train, "valid": self.budget.valid, "test": self.budget.test}
        return 0 if self.is_only_judged and split != "test" else counts[split]

    @property
    def ladder(self) -> tuple[LevelOfTheory, ...]:
        """Levels between cheap and accurate, the lowest first."""
        return tuple(LevelOfTheory.parse(level, imported=True) for level in self.training.ladder)

    @property
    def ladder_labels(self) -> dict[LevelOfTheory, int]:
        """Number of labels at each level between cheap and accurate; none if the molecule only validates its model."""
        counts = 0 if self.is_only_judged else self.budget.ladder
        counts = (counts,) * len(self.ladder) if isinstance(counts, int) else counts
        return dict(zip(self.ladder, counts, strict=True))

    def label_settings(self, level: LevelOfTheory) -> LabelSettings:
        """Labelling settings of a level of this molecule."""
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
        molecules: those that train and validate it.
        judge: those that only validate it; they get only test labels and labels for the certificate.
    """

    name: str
    molecules: tuple[MoleculeSettings, ...]
    judge: tuple[MoleculeSettings, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True)
class Manifest:
    """A checked manifest.

    Args:
        path: of the file.
        store: as written: a folder (relative to the working directory) or a URL.
        molecules: each with its model; a molecule of several models occurs once for each.
    """

    path: Path
    store: str
    molecules: tuple[MoleculeSettings, ...]


class Defaults(Settings):
    cheap: str = str(CHEAP)
    accurate: str = str(ACCURATE)
    engine: Engine | None = None
    sampling: SamplingSettings = SamplingSettings()
    labelling: LabellingSettings = LabellingSettings()
    budget: BudgetSettings = BudgetSettings()
    training: TrainingSettings = TrainingSettings()
    validation: ValidationSettings = ValidationSettings()
    chain: Literal["auto"] | None = None
    acquisition: AcquisitionSettings | None = None


class MoleculeEntry(Defaults):
    name: str
    smiles: str | None = None
    geometry: str | None = None
    charge: Annotated[int, Number("e")] = 0
    multiplicity: int = 1


class ModelEntry(Settings):
    name: str
    molecules: list[str] | Literal["all"]
    judge: list[str] = Field(default_factory=list)
    training: TrainingSettings = TrainingSettings()
    acquisition: AcquisitionSettings | None = None


class FileEntry(Settings):
    """The top-level keys; entries of ``molecules`` and ``models`` are read one by one."""

    store: str = "./store"
    defaults: dict[str, Any] = Field(default_factory=dict)
    molecules: list[Any]
    models: list[Any] = Field(default_factory=list)
