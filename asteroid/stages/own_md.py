"""Unbiased MD with a finished model, for its certificate.

The trajectories are run once and stored beside the model. NVT trajectories test the stability, give frames for
on-policy labels (:mod:`asteroid.stages.on_policy`) and distributions to compare with a reference; NVE trajectories give
the power spectrum. Needs torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.manifest import MoleculeSettings
from asteroid.naming import content, digest
from asteroid.processes import Progress
from asteroid.stages.common import counted
from asteroid.stages.minima import minimum_or_start
from asteroid.store import Store, paths

if TYPE_CHECKING:
    from asteroid.chemistry.wall import Wall
    from asteroid.simulation.replicas import Replica
    from asteroid.validation.distributions import Distributions, Samples
    from asteroid.validation.dynamics import Dynamics
    from asteroid.validation.spectra import Spectrum

SPECTRUM_INTERVAL: Final = 2.0
"""fs between frames: bands up to 7500 cm⁻¹."""
PIECES: Final = 8
"""Number of contiguous parts into which imported trajectories are cut: long enough to be independent, and enough for a
bootstrap.
"""
SPECTRUM_REPLICAS: Final = 8
"""Largest number of NVE trajectories to average over."""
EQUILIBRATION: Final = 0.5
"""ps, discarded at the start of an NVT trajectory, at most its first half. The thermostat decorrelates within 0.1 ps.
"""


@dataclass(frozen=True, eq=False)
class OwnMD:
    """Trajectories of a model.

    Args:
        dynamics: stability results.
        nvt: at each temperature, equilibration included.
        nve: started from final frames of the coldest NVT trajectories; empty if none survived.
    """

    dynamics: "Dynamics"
    nvt: "tuple[Replica, ...]"
    nve: "tuple[Replica, ...]"


def own_md(store: Store, molecule: MoleculeSettings, model_id: str, *, on_progress: Progress | None = None) -> OwnMD:
    """Run the trajectories from the model's minimum, or read them from the store."""
    from asteroid.simulation.run import simulate
    from asteroid.simulation.trajectories import StoredTrajectories
    from asteroid.training.model import choose_device
    from asteroid.training.run import load_model
    from asteroid.validation.dynamics import bond_criterion, run_dynamics

    settings, start = molecule.validation, minimum_or_start(store, molecule, model_id)
    wall = cluster_wall(store, molecule)
    stored = StoredTrajectories(store, trajectories_folder(molecule, model_id), start.numbers.tolist())
    model = load_model(store, molecule.model_name, model_id).to(choose_device(molecule.training.device))
    dynamics = run_dynamics(model, start, settings, wall=wall, stored=stored, on_progress=counted(on_progress, "MD"))
    nvt = stored.load("nvt") or []
    nve = stored.load("spectrum")
    if nve is None:
        coldest = min(settings.temperatures)
        warm = [start.with_positions(r.positions[-1]) for r in nvt if r.stable and r.temperature == coldest]
        warm = warm[:SPECTRUM_REPLICAS]
        nve = (
            []
            if not warm
            else simulate(
                model,
                warm,
                ensemble="nve",
                temperatures=[coldest] * len(warm),
                timestep=settings.timestep,
                duration=settings.nve_ps,
                interval=SPECTRUM_INTERVAL,
                seeds=range(settings.seed, settings.seed + len(warm)),
                stop=bond_criterion(start),
                wall=wall,
                checkpoints=stored.checkpoints("spectrum"),
                on_progress=counted(on_progress, "MD for the spectrum"),
            )
        )
        if nve:
            stored.save("spectrum", nve)
    return OwnMD(dynamics, tuple(nvt), tuple(nve))


def trajectories_folder(molecule: MoleculeSettings, model_id: str) -> str:
    """Folder of the trajectories, named by the settings that they depend on."""
    shaping = {"temperatures", "timestep", "nve_ps", "nvt_ps", "replicas", "seed"}
    used = content(molecule.validation, include=shaping)
    return paths.model_molecule(molecule.model_name, model_id, molecule.name, f"md-{digest(used)}")


def cluster_wall(store: Store, molecule: MoleculeSettings) -> "Wall | None":
    """Wall that holds a cluster together, as in the MD of the cheap level; None for a single molecule."""
    from asteroid.chemistry.wall import Wall
    from asteroid.sampling.plan import stored_conformers

    return Wall.around(stored_conformers(store, molecule))


def intact(
    store: Store, molecule: MoleculeSettings, rest: Configuration
) -> "Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]]":
    """Predicate for geometries (M, N, 3) Å: whether sampling would keep each, and the wall does not act on it.

    All geometries of a single molecule are intact: its trajectories end when a bond breaks.
    """
    from asteroid.sampling.screening import Screen

    wall, screen = cluster_wall(store, molecule), Screen.of(rest)

    def whole(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        if wall is None:
            return np.ones(len(positions), dtype=np.bool_)
        kept = np.array([screen.reason_to_drop(one) is None for one in positions], dtype=np.bool_)
        return kept & ~wall.acts(positions)

    return whole


def equilibrated(replica: "Replica") -> slice:
    """Frames of an NVT trajectory after equilibration."""
    left_out = 1000 * min(EQUILIBRATION, replica.requested / 2)
    return slice(int(np.searchsorted(replica.times, left_out)), None)


def series_for_spectra(trajectories: OwnMD) -> "tuple[list[Replica], npt.NDArray[np.float64], float] | None":
    """The NVE trajectories that survived, their positions (R, K, N, 3) in Å, and the fs between frames.

    None if they are too short for a spectrum.
    """
    whole = [replica for replica in trajectories.nve if replica.stable]
    if not whole or len(whole[0].times) < 5:
        return None
    # Without the last frame, whose interval may be shorter.
    positions = np.stack([replica.positions[:-1] for replica in whole])
    return whole, positions, float(whole[0].times[1] - whole[0].times[0])


def spectrum(rest: Configuration, trajectories: OwnMD) -> "Spectrum | None":
    """Power spectrum of the NVE trajectories that survived; None if they are too short."""
    from asteroid.validation.spectra import power_spectrum

    found = series_for_spectra(trajectories)
    if found is None:
        return None
    replicas, positions, interval = found
    return power_spectrum(positions, rest.masses, interval=interval, temperature=replicas[0].temperature)


def distributions(
    store: Store, molecule: MoleculeSettings, model_id: str, rest: Configuration, trajectories: OwnMD
) -> "tuple[Distributions, ...]":
    """Distributions of the NVT trajectories compared with a reference, at each temperature that has one."""
    from asteroid.validation.distributions import Samples, compare_distributions

    found = []
    whole = intact(store, molecule, rest)
    for temperature in molecule.validation.temperatures:
        reference = _reference(store, molecule, model_id, temperature)
        own = [r.positions[equilibrated(r)] for r in trajectories.nvt if r.temperature == temperature]
        # The reference has intact frames only.
        own = [positions[whole(positions)] for positions in own]
        if reference is not None and any(len(positions) for positions in own):
            samples, source = reference
            groups = np.repeat(np.arange(len(own)), [len(positions) for positions in own])
            model = Samples(np.concatenate(own), groups, np.ones(len(groups)))
            seed = molecule.validation.seed
            found.append(compare_distributions(rest, model, samples, temperature=temperature, source=source, seed=seed))
    return tuple(found)


def long_pieces(files: Sequence[str]) -> npt.NDArray[np.int64]:
    """(M,) piece number of each frame: its file, cut evenly if there are fewer files than :data:`PIECES`.

    Args:
        files: (M,) file of each frame, in the order of the frames in the file.

    >>> long_pieces(["a"] * 8 + ["b"] * 4).tolist()
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7]
    """
    names = sorted(set(files))
    each = -(-PIECES // len(names))
    pieces = np.zeros(len(files), dtype=np.int64)
    for number, name in enumerate(names):
        rows = np.flatnonzero(np.asarray(files) == name)
        pieces[rows] = each * number + np.arange(len(rows)) * each // len(rows)
    return pieces


def _reference(
    store: Store, molecule: MoleculeSettings, model_id: str, temperature: float
) -> "tuple[Samples, str] | None":
    """Reference frames at a temperature: imported ones with accurate labels, else MD of the cheap level, reweighted.

    Frames of the cheap level, reweighted with the model's energies, test whether the model's MD samples its own energy
    surface, and reveal spurious minima. They do not reveal errors at geometries that the cheap level never visits.
    """
    from asteroid.training.predict import predict
    from asteroid.training.run import load_calculator
    from asteroid.validation.distributions import Samples, boltzmann_weights

    frames = [
        frame
        for frame in store.frames(molecule.name)
        if frame.split != "certificate" and frame.origin.temperature == temperature
    ]
    accurate, cheap = (store.labels(molecule.name, level) for level in (molecule.accurate, molecule.cheap))
    imported = [f for f in frames if f.frame_id in accurate and accurate[f.frame_id].program == "import"]
    used = imported or [f for f in frames if f.origin.method == "md" and f.frame_id in cheap]
    if not used:
        return None
    if imported:
        # In the order of the files: the blocks of a split are shorter than the correlation time of a dihedral.
        places = {
            f.frame_id: (f.origin.parameters.get("sha256", ""), f.origin.parameters.get("index", 0)) for f in used
        }
        used.sort(key=lambda f: (*places[f.frame_id], f.group))
    positions = np.stack([f.configuration.positions for f in used])
    if imported:
        groups = long_pieces([str(places[f.frame_id][0]) for f in used])
        return Samples(positions, groups, np.ones(len(used))), f"imported frames at {molecule.accurate}"
    names = {name: index for index, name in enumerate(sorted({f.group for f in used}))}
    groups = np.array([names[f.group] for f in used])
    calculator = load_calculator(store, molecule.model_name, model_id, device=molecule.training.device)
    energies, _ = predict(calculator, [f.configuration for f in used])
    sampled = np.array([cheap[f.frame_id].energy for f in used], dtype=np.float64)
    weights = boltzmann_weights(energies, sampled, temperature)
    return Samples(positions, groups, weights), f"{molecule.cheap} MD, weighed by the model's energies"
