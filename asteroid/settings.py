"""The blocks of settings that a manifest may hold, with their defaults and ranges.

:mod:`asteroid.manifest` reads them from YAML and exports them; every other module takes them as they are and trusts
them.
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
"""How to train from the labels of both levels; each is a file of :mod:`asteroid.training.strategies`."""
Sampler = Literal["md", "normal-modes"]
Criterion = Literal["random", "diverse", "committee", "bias", "committee+diverse"]
"""How frames are picked for accurate labels; each is a function of :mod:`asteroid.acquisition.criteria`."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def _engine(name: str) -> str:
    if name not in BUILT_IN and name not in engine_names():
        expected = ", ".join(f"'{one}'" for one in engine_names())
        raise PydanticCustomError("literal_error", "an engine", {"expected": expected})
    return name


Engine = Annotated[str, AfterValidator(_engine)]
"""What computes a level that several engines compute: ``tblite`` or ``xtb``, or an engine that a package adds."""


class Settings(BaseModel):
    """Base of every block of a manifest: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class SamplingSettings(Settings):
    """How configurations are made at the cheap level."""

    methods: Annotated[tuple[Sampler, ...], Field(min_length=1)] = ("md", "normal-modes")
    """Frames are shared equally between these."""
    frames: Annotated[int, Field(ge=10, le=10_000_000)] = 1000
    """How many configurations in all; each gets a cheap label."""
    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)] = (300.0, 600.0)
    """K, for MD and for the width of normal-mode displacements."""
    conformers: Annotated[int, Field(ge=1, le=1000)] = 5
    """At most so many starting conformers (RDKit ETKDG, optimised at the cheap level, duplicates removed)."""
    timestep: Timestep = 0.5
    """fs"""
    equilibration: Annotated[Positive, Number("fs", 1, 1e6)] = 200.0
    """fs of MD before the first frame."""
    interval: Annotated[Positive, Number("fs", 0.5, 1e5)] = 20.0
    """fs between frames of one trajectory."""
    frames_per_group: Annotated[int, Field(ge=1)] = 20
    """Frames of one trajectory (or one set of displacements): the unit that is put into one split."""
    seed: Seed = 0


class LabelSettings(Settings):
    """How labels of one level are computed."""

    forces: bool = True
    """Or energies alone: for coupled cluster they are several times cheaper."""
    time_limit: Annotated[Positive, Number("s", 1, 1e7)] = 43200.0
    """s a label may take before it counts as failed."""
    memory_limit: Annotated[Positive, Number("MiB", 100, 1e7)] | None = None
    """MiB a label may take before it counts as failed; an equal share of the machine's memory when not given."""


class LabellingSettings(Settings):
    """How labels are computed, level by level."""

    cheap: LabelSettings = LabelSettings()
    accurate: LabelSettings = LabelSettings()


class BudgetSettings(Settings):
    """How many accurate labels may be bought."""

    accurate: Annotated[int, Field(ge=5)] = 50
    """Accurate labels that train the model, held-out ones for early stopping included."""
    valid_fraction: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Part of ``accurate`` that is held out for early stopping and for choosing gamma."""
    test: Annotated[int, Field(ge=1)] = 20
    """Further accurate labels that only measure the error."""
    ladder: Annotated[int, Field(ge=2)] | Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = 200
    """Labels at each level of ``training.ladder``, those of the accurate training frames among them; or a list, one
    number for each level."""
    core_hours: Annotated[Positive, Number("core-hours", 0.001, 1e5)] | None = None
    """With ``chain: auto``: for all labels that train or are held out, at whatever levels; what ``accurate`` labels at
    the accurate level cost when not given."""

    @property
    def valid(self) -> int:
        """How many of ``accurate`` are held out."""
        return self.accurate - self.train

    @property
    def train(self) -> int:
        """How many of ``accurate`` are fitted."""
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
    """How models are trained."""

    strategy: Strategy = "corrected"
    gamma: Literal["auto"] | ForceError = "auto"
    """eV/Å in w = exp(−e/γ); ``auto`` chooses it by a short pretraining on held-out accurate frames."""
    weights: Literal["frame", "atom"] = "frame"
    """Whether ``weighted`` weighs the forces of a cheap frame all alike, or those of each atom by their own bias."""
    teachers: Annotated[int, Field(ge=1, le=16)] = 1
    """Models whose mean estimates the bias; the first has this ``seed``, the others seeds of their own."""
    ladder: tuple[str, ...] = ()
    """Levels of theory between cheap and accurate, the lowest first, whose labels in the store ``corrected`` uses."""
    model: ModelSettings = ModelSettings()
    foundation: str | None = None
    """Path of a MACE model to start from instead of random weights; a pickle, so only from people you trust.

    Only ``foundation`` needs it; some strategies start from random weights always."""
    pretrain_steps: Annotated[int, Field(ge=1), Number(most=1e7)] = 5000
    finetune_steps: Annotated[int, Field(ge=1), Number(most=1e7)] = 1000
    correction_steps: Annotated[int, Field(ge=1), Number(most=1e7)] = 2500
    """Of the network that ``corrected`` blends with its kernel where the kernel is not nearly exact."""
    scratch_steps: Annotated[int, Field(ge=1), Number(most=1e7)] | None = None
    """Steps of the model trained on accurate labels alone; as many as the two above together when not given."""
    batch_size: Annotated[int, Field(ge=1)] = 20
    finetune_batch_size: Annotated[int, Field(ge=1)] = 5
    learning_rate: Annotated[Positive, Number(least=1e-6, most=0.5)] = 0.02
    finetune_learning_rate: Annotated[Positive, Number(least=1e-6, most=0.5)] = 0.005
    """A fifth of it where some accurate labels are energies alone."""
    energy_weight: Positive = 1.0
    forces_weight: Positive = 100.0
    """Where all labels of a stage are energies alone, they get this weight if it is the larger."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    clip: Positive = 10.0
    """Largest norm of the gradient."""
    patience: Annotated[int, Field(ge=1)] = 20
    """Evaluations on held-out frames without improvement after which training stops."""
    evaluate_every: Annotated[int, Field(ge=1)] = 100
    """Steps between evaluations; a checkpoint is written at each."""
    precision: Literal["float32", "float64"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: Seed = 0

    @property
    def steps_together(self) -> int:
        """Steps of pretraining and fine-tuning: what every strategy may spend on its model."""
        return self.pretrain_steps + self.finetune_steps

    @property
    def steps_alone(self) -> int:
        """Steps of a model that is trained on accurate labels alone."""
        return self.scratch_steps or self.steps_together


class ThresholdSettings(Settings):
    """What a model must surely reach for its certificate.

    Each is met by the bound of what was measured, not by its value: an error whose 95 % interval reaches beyond the
    threshold is not known to be below it. Where only few geometries are looked at (minimum, torsions, frequencies)
    there is no interval, and the value is its own bound."""

    force_mae: ForceError = 0.05
    """eV/Å on held-out accurate frames, upper bound"""
    energy_mae: Annotated[Positive, Number("eV/atom")] = 0.005
    """eV/atom on held-out accurate frames, upper bound"""
    nve_drift: Annotated[Positive, Number("eV/atom/ps")] = 0.001
    """eV/atom/ps, upper bound"""
    nvt_stable: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Part of the trajectories that survives at each temperature, lower bound: 0.9 takes 29 without a failure, 0.95
    takes 59, and no number of them shows that all survive."""
    minimum_force: ForceError = 0.05
    """eV/Å, largest accurate force component left at the model's minimum"""
    minimum_rmsd: Annotated[Positive, Number("Å")] = 0.02
    """Å, between the model's minimum and the accurate one"""
    on_policy_mae: ForceError = 0.05
    """eV/Å on frames of the model's own MD, upper bound"""
    frequency_mean: Annotated[Positive, Number("cm⁻¹")] = 20.0
    """cm⁻¹, mean deviation of the model's harmonic frequencies from the accurate ones"""
    frequency_worst: Annotated[Positive, Number("cm⁻¹")] = 60.0
    """cm⁻¹, largest deviation of one of them"""
    torsion: Annotated[Positive, Number("meV")] = 20.0
    """meV, largest error of the energies along a torsion; at 300 K, k_B T is 26"""
    bonds: Annotated[Positive, Number("Å")] = 0.01
    """Å, largest distance between a distribution of bond lengths in MD and its reference, upper bound"""
    angles: Annotated[Positive, Number("degrees")] = 2.0
    """degrees, likewise of bond angles"""
    dihedrals: Annotated[Positive, Number("degrees")] = 15.0
    """degrees, likewise of dihedral angles"""
    fragments: Annotated[Positive, Number("Å")] = 0.1
    """Å, likewise of distances between the fragments of a cluster"""


class ValidationSettings(Settings):
    """How a finished model is judged."""

    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)] = (300.0, 600.0)
    """K"""
    timestep: Timestep = 0.5
    """fs"""
    nve_ps: Picoseconds = 1.0
    """With the time step above, and again with half of it."""
    nvt_ps: Picoseconds = 2.0
    replicas: Annotated[int, Field(ge=1, le=1000)] = 30
    """NVT trajectories at each temperature, all in one batch: so many, if none fails, show that 0.9 survive."""
    on_policy: Annotated[int, Field(ge=0)] = 6
    """Fresh accurate labels of frames from the model's own MD, which score it where it leads itself; 0: none."""
    torsion_points: Annotated[int, Field(ge=0, le=24)] = 2
    """Accurate labels along each rotatable bond, at geometries that the model relaxed: the top of the barrier, then
    others; 0: none. A molecule without a rotatable bond takes none."""
    frequencies: bool = False
    """Whether to compute the accurate harmonic frequencies: analytically where the accurate
    level has proved second derivatives (HF, PBE, BLYP, PBE0, B3LYP without dispersion), else by as many labels as six
    times the number of atoms."""
    curve: bool = True
    """Whether to train on half the accurate labels alone as well, which tells how many of them the cheap ones save."""
    thresholds: ThresholdSettings = ThresholdSettings()
    seed: Seed = 0


class AcquisitionSettings(Settings):
    """How accurate labels are bought in rounds, each picked by the model of the round before."""

    criterion: Criterion = "committee+diverse"
    initial: Annotated[int, Field(ge=5)] = 20
    """Accurate labels of the first round, picked by diversity; held-out ones included."""
    batch: Annotated[int, Field(ge=1)] = 10
    """Accurate labels of each later round."""
    labels: Literal["auto", "forces"] = "auto"
    """``auto`` measures, in each round, whether more labels of energies alone would gain more for the same core-seconds
    than labels with forces, and buys these."""
    rounds: Annotated[int, Field(ge=1)] = 10
    """At most so many, the first included."""
    core_hours: Annotated[Positive, Number("core-hours", 0.001, 1e5)] | None = None
    """For labels, training and exploration of all rounds together; no limit when not given."""
    target: ForceError | None = None
    """eV/Å: stop when the force MAE on held-out frames is below it with 95 % confidence."""
    least_gain: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Part of the error that the next core-hour, or the next round where that costs more, must promise to take off."""
    committee: Annotated[int, Field(ge=2, le=16)] = 3
    """Models whose disagreement is the uncertainty."""
    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)] = (300.0, 600.0, 900.0)
    """K, of the MD that explores."""
    ps: Picoseconds = 1.0
    """Length of a replica."""
    replicas: Annotated[int, Field(ge=1)] = 8
    """At each temperature."""
    certify_rounds: Annotated[int, Field(ge=0)] = 2
    """Further rounds, beyond ``rounds``, that a failed certificate may order as long as labels and core-hours are left:
    they explore where the model failed."""
    train_on: Annotated[float, Field(gt=0, le=1)] | None = 0.4
    """Part of the training steps that later rounds take, going on from the model of the last one; each round trains
    anew when null."""
    seed: Seed = 0
