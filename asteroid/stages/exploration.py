"""Exploration: train and calibrate a committee, and find new frames with the model of the previous round.

Frames come from MD at several temperatures, rotated bonds and displaced normal modes; broken molecules are dropped and
counted. The labelling stage gives the frames cheap labels, :func:`asteroid.stages.review.review_explored` checks these,
and :mod:`asteroid.stages.picking` scores the frames. :mod:`asteroid.acquisition.explore` has the rules. Needs torch.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from asteroid.configuration import EXPLORED, Configuration, Frame, Origin, Split
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.stages.common import counted, waiting
from asteroid.stages.feedback import failed_lines, failing_geometries
from asteroid.stages.minima import find_model_minimum, minimum_or_start, model_minimum
from asteroid.stages.models import training_frames, training_notes, training_set
from asteroid.stages.own_md import cluster_wall
from asteroid.stages.round_files import (
    acquisition,
    at_round,
    loop_folder,
    loop_name,
    model_of,
    read_record,
    read_rounds,
    trainers,
    write_record,
)
from asteroid.stages.scoring import force_errors, held_out_frames, load_models
from asteroid.store import Store
from asteroid.store.locks import lock
from asteroid.store.models import Card, has_model, read_card
from asteroid.store.round_records import Calibration, Explored, ExploringReplica

if TYPE_CHECKING:
    from asteroid.simulation.replicas import Replica, StopCriterion

HELD_OUT_EVERY: Final = 5
"""One in this many trajectories and sets of displaced geometries is held out."""

FAILED: Final = "failed"
"""Move of trajectories that start where a certificate failed."""

MOVED: Final = 10
"""Number of geometries in a set."""


def explore(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Train a committee, calibrate it, and store the frames that the model finds; returns a summary for the log."""
    from asteroid.acquisition.calibration import calibrate
    from asteroid.acquisition.committee import committee_predict
    from asteroid.acquisition.explore import known_limit

    rounds = read_rounds(store, molecule)
    number, settings = len(rounds), acquisition(molecule)
    before = at_round(molecule, rounds[-1])
    if (found := read_record(store, molecule, Explored, number)) is None:
        card = read_card(store, molecule.model_name, model_of(rounds[-1]))
        members = _committee(store, before, card, settings.committee, on_progress)
        seconds = sum(read_card(store, molecule.model_name, member).core_seconds for member in members)
        began = time.process_time()
        find_model_minimum(store, molecule, card.model_id)
        models = load_models(store, molecule, (card.model_id, *members))
        labels = store.labels(molecule.name, molecule.accurate)
        known, _, _ = training_frames(store, before)
        held_out = held_out_frames(store, molecule, known.unused, labels)
        uncertainty = committee_predict(models[1:], [f.configuration for f in held_out]).uncertainty
        calibration = calibrate(uncertainty, force_errors(models[0], held_out, labels), shared=not known.calibration)
        failed, places = failed_lines(store, molecule), list[Configuration]()
        if failed:
            places = failing_geometries(store, molecule, on_progress=on_progress)
        find = _find(store, molecule, number, card.model_id, models, calibration, places, on_progress)
        replicas, frames, dropped = find
        store.add_frames(molecule.name, frames, batch=_group(molecule, number, "frames"))
        found = Explored(
            round=number,
            model_id=card.model_id,
            because=tuple(failed),
            committee=tuple(members),
            calibration=calibration,
            limit=known_limit(calibration),
            replicas=tuple(ExploringReplica(r.temperature, r.survived, r.reason) for r in replicas),
            frames=len(frames),
            dropped=dict(dropped),
            # The molecules of a model share its committee.
            core_seconds=seconds / len(trainers(molecule)) + time.process_time() - began,
        )
        write_record(store, molecule, found)
    elif not all(has_model(store, molecule.model_name, member) for member in found.committee):
        card = read_card(store, molecule.model_name, found.model_id)
        _committee(store, before, card, len(found.committee), on_progress)
    stopped = sum(replica.reason is not None for replica in found.replicas)
    return f"{len(found.replicas)} trajectories, {stopped} of them stopped; {found.frames} new frames"


def _committee(
    store: Store, molecule: MoleculeSettings, card: Card, members: int, on_progress: Progress | None
) -> list[str]:
    """Ids of the committee of a model. All molecules of the model share it; the first one trains it.

    Args:
        molecule: with the label budget of the model.
    """
    from asteroid.acquisition.committee import train_committee

    with lock(store, f"committee {molecule.model_name}", on_wait=waiting(on_progress)):
        notes = training_notes(on_progress)
        return train_committee(store, card, training_set(store, molecule), members=members, on_progress=notes)


def _find(
    store: Store,
    molecule: MoleculeSettings,
    number: int,
    model_id: str,
    models: Sequence[Any],
    calibration: Calibration,
    places: Sequence[Configuration],
    on_progress: Progress | None,
) -> "tuple[list[Replica], list[Frame], Counter[str]]":
    """Replicas, new frames, and the number of dropped frames by reason.

    Args:
        models: the exploring model, then its committee.
        places: geometries where its certificate failed.
    """
    from asteroid.acquisition.explore import candidates_of, region_criterion
    from asteroid.sampling.plan import NEAR_COPY, stored_conformers
    from asteroid.sampling.screening import Screen, highest_energy
    from asteroid.training.predict import predict

    rest = minimum_or_start(store, molecule, model_id)
    screen = Screen.of(stored_conformers(store, molecule)[0])
    known = [f for f in store.frames(molecule.name) if not f.group.startswith(_group(molecule, number, ""))]
    rng = np.random.default_rng([acquisition(molecule).seed, number])
    starts = _Starts(known, stored_conformers(store, molecule), places, rng)
    stop = region_criterion(screen, models[1:], calibration, rest)
    replicas = _run_replicas(store, molecule, number, models[0], stop, starts, rng, on_progress)

    new: list[Frame] = []
    dropped: Counter[str] = Counter()

    def keep(geometry: Configuration, parameters: Mapping[str, Any], group: str, split: Split, parent: str) -> None:
        if reason := screen.reason_to_drop(geometry.positions):
            dropped[reason] += 1
            return
        origin = Origin(EXPLORED, {"model_id": model_id, "round": number, **parameters}, parent=parent)
        new.append(Frame(geometry, origin, _group(molecule, number, group), split))

    for index, replica in enumerate(replicas):
        for place in candidates_of(replica):
            parameters = {
                "move": starts.move(index),
                "replica": index,
                "temperature": replica.temperature,
                "step": place,
            }
            geometry = rest.with_positions(replica.positions[place])
            keep(geometry, parameters, f"md-{index}", _split(index), replica.start)
    hottest = max(acquisition(molecule).temperatures)
    sets = list(_moves(store, molecule, model_id, starts, rng))
    energies = predict(models[0], [rest, *(g for _, _, geometries in sets for g in geometries)])[0]
    above = iter(energies[1:] - energies[0])
    for index, (move, start, geometries) in enumerate(sets):
        for place, geometry in enumerate(geometries):
            if not next(above) < highest_energy(len(rest.numbers), hottest):
                dropped["energy too high"] += 1
                continue
            parameters = {"move": move, "temperature": hottest, "step": place}
            keep(geometry, parameters, f"{move}-{index}", _split(index), start.frame_id)
    apart = _apart(new, known)
    dropped[NEAR_COPY] += len(new) - len(apart)
    return replicas, apart, +dropped


class _Starts:
    """Draws starting geometries by split: conformers and training frames, or held-out frames.

    After a failed certificate, half of the training trajectories and sets start where it failed.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        conformers: Sequence[Configuration],
        places: Sequence[Configuration],
        rng: np.random.Generator,
    ) -> None:
        self._conformers, self._rng = list(conformers), rng
        self._places = [places[int(i)] for i in rng.permutation(len(places))]
        self._frames = {s: sorted(f.frame_id for f in frames if f.split == s) for s in ("train", "valid")}
        self._by_id = {f.frame_id: f.configuration for f in frames}

    def draw(self, index: int) -> Configuration:
        """Start of a trajectory or a set; every second training start is a conformer, in turn."""
        if self.move(index) == FAILED:
            return self._places[index // 2 % len(self._places)]
        ids = self._frames[_split(index)]
        if not ids or (_split(index) == "train" and index % 2 == 0):
            return self._conformers[index // 2 % len(self._conformers)]
        return self._by_id[ids[int(self._rng.integers(len(ids)))]]

    def move(self, index: int) -> str:
        """Name of the move of a trajectory with this start."""
        return FAILED if self._places and _split(index) == "train" and index % 2 == 1 else "md"


def _run_replicas(
    store: Store,
    molecule: MoleculeSettings,
    number: int,
    model: Any,
    stop: "StopCriterion",
    starts: _Starts,
    rng: np.random.Generator,
    on_progress: Progress | None,
) -> "list[Replica]":
    """The exploring trajectories; they are stored, so a run after a kill continues them."""
    from asteroid.acquisition.explore import INTERVAL
    from asteroid.simulation.run import simulate
    from asteroid.simulation.trajectories import StoredTrajectories

    settings = acquisition(molecule)
    temperatures = np.tile(settings.temperatures, settings.replicas).tolist()
    geometries = [starts.draw(index) for index in range(len(temperatures))]
    seeds = rng.integers(2**31, size=len(temperatures)).tolist()
    name = f"trajectories-{number:03d}"
    stored = StoredTrajectories(store, loop_folder(molecule), geometries[0].numbers.tolist())
    if (there := stored.load(name)) is not None:
        return there
    replicas = simulate(
        model,
        geometries,
        ensemble="nvt",
        temperatures=temperatures,
        timestep=molecule.sampling.timestep,
        duration=settings.ps,
        interval=INTERVAL,
        seeds=seeds,
        stop=stop,
        wall=cluster_wall(store, molecule),
        checkpoints=stored.checkpoints(name),
        on_progress=counted(on_progress, "exploring MD"),
    )
    stored.save(name, replicas)
    return replicas


def _moves(
    store: Store, molecule: MoleculeSettings, model_id: str, starts: _Starts, rng: np.random.Generator
) -> Iterator[tuple[str, Configuration, list[Configuration]]]:
    """Sets of displaced geometries, each with its kind and its start: rotated bonds, then displaced normal modes.

    The modes are those of the model at its minimum, displaced as at the highest temperature of the exploration. Without
    a converged minimum there are none.
    """
    from asteroid.acquisition.explore import turned
    from asteroid.chemistry.vibrations import normal_modes
    from asteroid.sampling.normal_modes import displace
    from asteroid.validation.torsions import rotatable_bonds

    settings = acquisition(molecule)
    hessian = model_minimum(store, molecule, model_id).hessian
    rest = minimum_or_start(store, molecule, model_id)
    try:
        axes = [(t.atoms[1], t.atoms[2]) for t in rotatable_bonds(rest, molecule.smiles)]
    except ValueError:
        axes = []
    for index in range(settings.replicas if axes else 0):
        start = starts.draw(index)
        yield "turn", start, turned(start, axes, MOVED, seed=int(rng.integers(2**31)))
    if hessian is None:
        return
    modes = normal_modes(rest, hessian)
    for _ in range(settings.replicas):
        kicked = displace(
            rest, modes, temperature=max(settings.temperatures), count=MOVED, seed=int(rng.integers(2**31))
        )
        yield "kick", rest, [rest.with_positions(positions) for positions in kicked]


def _apart(new: Sequence[Frame], known: Sequence[Frame]) -> list[Frame]:
    """New frames that are no near copies of a frame of another split, known or new; held-out frames take precedence."""
    from asteroid.sampling.select import near_copies, sorted_distances

    if not new or len(new[0].configuration.numbers) == 2:
        # A diatomic has a single distance, whose range the known frames soon cover.
        return list(new)
    kept: list[Frame] = []
    for split in ("valid", "train"):
        own = [frame for frame in new if frame.split == split]
        others = [frame.configuration for frame in (*known, *kept) if frame.split != split]
        if own:
            points = sorted_distances([*(frame.configuration for frame in own), *others])
            near = near_copies(points[: len(own)], points[len(own) :])
            kept += [frame for frame, copy in zip(own, near, strict=True) if not copy]
    return kept


def _split(index: int) -> Split:
    """Split of a trajectory or set, by its index."""
    return "valid" if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train"


def _group(molecule: MoleculeSettings, number: int, name: str) -> str:
    """Group of a trajectory or set: its frames may be near copies of each other, so they share a split."""
    return f"explore-{loop_name(molecule)}-{number:03d}-{name}"
