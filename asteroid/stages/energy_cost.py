"""Cost of an energy without forces at the accurate level, measured once on a labelled frame.

Before :mod:`asteroid.stages.label_kind` first compares the two kinds of labels, the ledger has only labels with forces.
The measurement is a separate step, which runs on label workers without torch.
"""

from asteroid.engines import engine_for, programs_for
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.stages.common import waiting
from asteroid.stages.round_files import acquisition, loop_folder
from asteroid.store import Store, records
from asteroid.store.account import charge
from asteroid.store.locks import lock
from asteroid.store.records import EnergyCost
from asteroid.store.rows import Attempt
from asteroid.usage import Usage


def lacks_energy_cost(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the next round needs the cost of an energy alone, and it has not been measured."""
    if molecule.acquisition is None or acquisition(molecule).labels == "forces":
        return False
    if molecule.accurate.family == "imported" or store.exists(_path(molecule)):
        return False
    return bool(_computed(store, molecule))


def measure_energy_cost(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> None:
    """Compute the energy of the frame with the median label cost again, without forces, and charge it.

    Args:
        molecule: with the label budget of the previous round.
    """
    with lock(store, f"energy-cost {molecule.name}", on_wait=waiting(on_progress)):
        # Another run may have measured it meanwhile.
        if lacks_energy_cost(store, molecule):
            _measure(store, molecule)


def _measure(store: Store, molecule: MoleculeSettings) -> None:
    from asteroid.labelling.campaign import label_configurations

    computed = sorted(_computed(store, molecule), key=lambda label: (label.core_seconds, label.frame_id))
    (frame,) = store.frames(molecule.name, ids=[computed[len(computed) // 2].frame_id])
    settings = molecule.label_settings(molecule.accurate)
    (attempt,) = label_configurations(
        [frame.configuration],
        molecule.accurate,
        engine=engine_for(molecule.accurate, molecule.engine),
        forces=False,
        time_limit=settings.time_limit,
        memory_limit=settings.memory_limit,
    )
    with charge(store, molecule.name, "exploration", own=False) as entry:
        entry.add(Usage(cpu=attempt.core_seconds))
    seconds = None if attempt.energy is None else attempt.core_seconds
    records.write(store, _path(molecule), EnergyCost(frame.frame_id, seconds))


def read_energy_cost(store: Store, molecule: MoleculeSettings) -> float | None:
    """Core-seconds of an energy alone; None where no label was computed here, or the measurement failed.

    Raises:
        AsteroidError: when it has not been measured.
    """
    if lacks_energy_cost(store, molecule):
        raise AsteroidError(
            f"{molecule.name}: the cost of a {molecule.accurate} energy has not been measured; run again to go on"
        )
    if not store.exists(_path(molecule)):
        return None
    return records.read(store, EnergyCost, _path(molecule)).core_seconds


def _computed(store: Store, molecule: MoleculeSettings) -> list[Attempt]:
    """Accurate labels computed by asteroid."""
    programs = programs_for(molecule.accurate)
    return [label for label in store.labels(molecule.name, molecule.accurate).values() if label.program in programs]


def _path(molecule: MoleculeSettings) -> str:
    return f"{loop_folder(molecule)}/energy-cost.json"
