"""Settings of a manifest, with defaults and ranges.

:mod:`asteroid.manifest` reads them from YAML; other modules use them without further checks.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from asteroid.engines import BUILT_IN, engine_names
from asteroid.quantities import ForceError, Kelvin, Number, Picoseconds, Positive, Timestep

Strategy = Literal[
    "scratch",
    "unweighted",
    "delta",
    "multihead",
    "foundation",
    "weighted",
    "corrected",
    "distilled",
    "score-matching",
    "score-matching-exact",
    "score-matching-denoising",
]
"""Training strategies; each is a file in :mod:`asteroid.training.strategies`."""
Sampler = Literal["md", "normal-modes"]
Criterion = Literal["random", "diverse", "committee", "bias", "committee+diverse"]
"""Criteria for picking frames; each is a function in :mod:`asteroid.acquisition.criteria`."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def _engine(name: str) -> str:
    if name not in BUILT_IN and name not in engine_names():
        expected = ", ".join(f"'{one}'" for one in engine_names())
        raise PydanticCustomError("literal_error", "an engine", {"expected": expected})
    return name


Engine = Annotated[str, AfterValidator(_engine)]
"""Engine for levels that several engines compute, such as ``tblite`` and ``xtb``."""


class Settings(BaseModel):
    """Base class of all blocks of a manifest: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class SamplingSettings(Settings):
    """Sampling of configurations at the cheap level."""

    methods: Annotated[tuple[Sampler, ...], Field(min_length=1)] = ("md", "normal-modes")
    """Samplers, with equal numbers of frames."""
    frames: Annotated[int, Field(ge=10, le=10_000_000)] = 1000
    """Number of configurations; each gets a cheap label."""
    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)] = (300.0, 600.0)
    """K, for MD and for the width of normal-mode displacements."""
    conformers: Annotated[int, Field(ge=1, le=1000)] = 5
    """Largest number of starting conformers (RDKit ETKDG, optimised at the cheap level, without duplicates)."""
    timestep: Timestep = 0.5
    """fs"""
    equilibration: Annotated[Positive, Number("fs", 1, 1e6)] = 200.0
    """fs of MD before the first frame."""
    interval: Annotated[Positive, Number("fs", 0.5, 1e5)] = 20.0
    """fs between frames of one trajectory."""
    frames_per_group: Annotated[int, Field(ge=1)] = 20
    """Frames of one trajectory or one set of displacements, which are in one split."""
    seed: Seed = 0


class LabelSettings(Settings):
    """Calculation of the labels of one level."""

    forces: bool = True
    """False for energies alone, which are several times cheaper for coupled cluster."""
    time_limit: Annotated[Positive, Number("s", 1, 1e7)] = 43200.0
    """s, longest time of a label."""
    memory_limit: Annotated[Positive, Number("MiB", 100, 1e7)] | None = None
    """MiB, largest memory of a label; by default an equal share of the machine's memory."""


class LabellingSettings(Settings):
    """Calculation of labels at both levels."""

    cheap: LabelSettings = LabelSettings()
    accurate: LabelSettings = LabelSettings()


class BudgetSettings(Settings):
    """Numbers of accurate labels."""

    accurate: Annotated[int, Field(ge=5)] = 50
    """Accurate labels for training, including those held out for early stopping."""
    valid_fraction: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Part of ``accurate`` held out for early stopping and for choosing gamma."""
    test: Annotated[int, Field(ge=1)] = 20
    """Further accurate labels of test frames."""
    ladder: Annotated[int, Field(ge=2)] | Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = 200
    """Labels at each level of ``training.ladder``, including those of the accurate training frames: one number, or a
    list with one for each level."""
    core_hours: Annotated[Positive, Number("core-hours", 0.001, 1e5)] | None = None
    """With ``chain: auto``: for all training and held-out labels at all levels; by default the cost of ``accurate``
    labels at the accurate level."""

    @property
    def valid(self) -> int:
        """Number of held-out labels."""
        return self.accurate - self.train

    @property
    def train(self) -> int:
        """Number of training labels without held-out ones."""
        return round(self.accurate * (1 - self.valid_fraction))


class ModelSettings(Settings):
    """Size of the MACE model."""

    channels: Annotated[int, Field(ge=1), Number(most=1024)] = 32
    max_l: Annotated[int, Field(ge=0, le=3)] = 1
    max_ell: Annotated[int, Field(ge=1, le=4)] = 2
    correlation: Annotated[int, Field(ge=1, le=4)] = 3
    interactions: Annotated[int, Field(ge=1, le=4)] = 2
    radial: Annotated[int, Field(ge=2), Number(most=64)] = 8
    """Number of radial Bessel functions."""
    r_max: Annotated[Positive, Number("Å", 2, 12)] = 4.5
    """Å, cutoff radius."""


class TrainingSettings(Settings):
    """Training of models."""

    strategy: Strategy = "corrected"
    gamma: Literal["auto"] | ForceError = "auto"
    """eV/Å in w = exp(−e/γ); ``auto`` chooses it by a short pretraining on held-out accurate frames."""
    weights: Literal["frame", "atom"] = "frame"
    """Whether ``weighted`` has one weight for each cheap frame, or for the forces of each atom."""
    teachers: Annotated[int, Field(ge=1, le=16)] = 1
    """Number of models whose mean estimates the bias; the first one has this ``seed``."""
    ladder: tuple[str, ...] = ()
    """Intermediate levels of theory for ``corrected``, the lowest first."""
    model: ModelSettings = ModelSettings()
    foundation: str | None = None
    """Path of a MACE model to start from instead of random weights.

    Required by ``foundation``; some strategies always start from random weights."""
    pretrain_steps: Annotated[int, Field(ge=1), Number(most=1e7)] = 5000
    warm_restarts: Annotated[int, Field(ge=0, le=8)] = 1
    """Largest number of further pretrainings of ``corrected``, each at half the learning rate of the one before. They
    follow while the held-out error of the model is more than a tenth above that of its corrected labels."""
    finetune_steps: Annotated[int, Field(ge=1), Number(most=1e7)] = 1000
    correction_steps: Annotated[int, Field(ge=1), Number(most=1e7)] = 2500
    """Steps of the network that ``corrected`` combines with its kernel if the kernel is not nearly exact."""
    scratch_steps: Annotated[int, Field(ge=1), Number(most=1e7)] | None = None
    """Steps of the model trained on accurate labels alone; by default ``pretrain_steps`` + ``finetune_steps``."""
    batch_size: Annotated[int, Field(ge=1)] = 20
    finetune_batch_size: Annotated[int, Field(ge=1)] = 5
    learning_rate: Annotated[Positive, Number(least=1e-6, most=0.5)] = 0.02
    finetune_learning_rate: Annotated[Positive, Number(least=1e-6, most=0.5)] = 0.005
    """A fifth of it is used if some accurate labels are energies alone."""
    energy_weight: Positive = 1.0
    forces_weight: Positive = 100.0
    """If all labels of a stage are energies alone, the larger of both weights is used for energies."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    clip: Positive = 10.0
    """Largest gradient norm."""
    patience: Annotated[int, Field(ge=1)] = 20
    """Number of evaluations without improvement after which training stops."""
    evaluate_every: Annotated[int, Field(ge=1)] = 100
    """Steps between evaluations on held-out frames, each with a checkpoint."""
    precision: Literal["float32", "float64"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: Seed = 0

    @property
    def steps_together(self) -> int:
        """Steps of pretraining and fine-tuning together."""
        return self.pretrain_steps + self.finetune_steps

    @property
    def steps_alone(self) -> int:
        """Steps of the model trained on accurate labels alone."""
        return self.scratch_steps or self.steps_together


class ThresholdSettings(Settings):
    """Thresholds of the certificate.

    The confidence bound must meet a threshold, not only the value. Minimum, torsions and frequencies have no interval;
    for them the value counts."""

    force_mae: ForceError = 0.05
    """eV/Å on held-out accurate frames, upper bound"""
    energy_mae: Annotated[Positive, Number("eV/atom")] = 0.005
    """eV/atom on held-out accurate frames, upper bound"""
    nve_drift: Annotated[Positive, Number("eV/atom/ps")] = 0.001
    """eV/atom/ps, upper bound"""
    nvt_stable: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Surviving part of the trajectories at each temperature, lower bound: 0.9 takes 29 trajectories without a failure,
    0.95 takes 59."""
    minimum_force: ForceError = 0.05
    """eV/Å, largest accurate force component at the model's minimum"""
    minimum_rmsd: Annotated[Positive, Number("Å")] = 0.02
    """Å, between the model's minimum and the accurate minimum"""
    on_policy_mae: ForceError = 0.05
    """eV/Å in the model's own MD, upper bound"""
    frequency_mean: Annotated[Positive, Number("cm⁻¹")] = 20.0
    """cm⁻¹, mean absolute deviation of harmonic frequencies"""
    frequency_worst: Annotated[Positive, Number("cm⁻¹")] = 60.0
    """cm⁻¹, largest deviation of a harmonic frequency"""
    torsion: Annotated[Positive, Number("meV")] = 20.0
    """meV, largest error of torsion energies; k_B T is 26 meV at 300 K"""
    bonds: Annotated[Positive, Number("Å")] = 0.01
    """Å, largest Wasserstein distance of bond lengths in MD from the reference, upper bound"""
    angles: Annotated[Positive, Number("degrees")] = 2.0
    """degrees, the same for bond angles"""
    dihedrals: Annotated[Positive, Number("degrees")] = 15.0
    """degrees, the same for dihedral angles"""
    fragments: Annotated[Positive, Number("Å")] = 0.1
    """Å, the same for distances between fragments of a cluster"""


class ValidationSettings(Settings):
    """Validation of a finished model."""

    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)] = (300.0, 600.0)
    """K"""
    timestep: Timestep = 0.5
    """fs"""
    nve_ps: Picoseconds = 1.0
    """Length of the NVE trajectories, with this time step and with half of it."""
    nvt_ps: Picoseconds = 2.0
    replicas: Annotated[int, Field(ge=1, le=1000)] = 30
    """NVT trajectories at each temperature; 29 without a failure show a surviving part of 0.9."""
    on_policy: Annotated[int, Field(ge=0)] = 6
    """Number of new accurate labels in the model's own MD; 0: none."""
    torsion_points: Annotated[int, Field(ge=0, le=24)] = 2
    """Accurate labels for each rotatable bond, at geometries relaxed by the model: the top of the barrier, then others;
    0: none."""
    frequencies: bool = False
    """Whether to compute accurate harmonic frequencies: with analytic second derivatives (HF, PBE, BLYP, PBE0, B3LYP
    without dispersion), otherwise with six labels per atom."""
    curve: bool = True
    """Whether to train also on half of the accurate labels alone, to estimate how many labels the cheap ones save."""
    thresholds: ThresholdSettings = ThresholdSettings()
    seed: Seed = 0


class AcquisitionSettings(Settings):
    """Rounds of accurate labels, picked with the model of the previous round."""

    criterion: Criterion = "committee+diverse"
    initial: Annotated[int, Field(ge=5)] = 20
    """Accurate labels of the first round, picked by diversity, including held-out ones."""
    batch: Annotated[int, Field(ge=1)] = 10
    """Accurate labels of each later round."""
    labels: Literal["auto", "forces"] = "auto"
    """``auto`` measures in each round whether labels of energies alone reduce the error more for the same core-seconds
    than labels with forces, and chooses the better kind."""
    rounds: Annotated[int, Field(ge=1)] = 10
    """Largest number of rounds, including the first."""
    core_hours: Annotated[Positive, Number("core-hours", 0.001, 1e5)] | None = None
    """For labels, training and exploration of all rounds; by default no limit."""
    target: ForceError | None = None
    """eV/Å: stop when the force MAE on held-out frames is below it with 95% confidence."""
    least_gain: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Smallest expected relative fall of the error in the next core-hour, or in the next round if that costs more."""
    committee: Annotated[int, Field(ge=2, le=16)] = 3
    """Number of models whose disagreement is the uncertainty."""
    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)] = (300.0, 600.0, 900.0)
    """K, of the exploring MD."""
    ps: Picoseconds = 1.0
    """Length of each replica."""
    replicas: Annotated[int, Field(ge=1)] = 8
    """Number of replicas at each temperature."""
    certify_rounds: Annotated[int, Field(ge=0)] = 2
    """Largest number of further rounds after failed certificates, within the budget; they explore where the model
    failed."""
    train_on: Annotated[float, Field(gt=0, le=1)] | None = 0.4
    """Part of the training steps in later rounds, which start from the previous model; null: always start anew."""
    seed: Seed = 0
