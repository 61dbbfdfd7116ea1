"""The batch of a round: candidates scored by the committee, picked by the criterion, and recorded.

Candidates are all frames of a split without an accurate label, sampled or explored.
:func:`asteroid.stages.rounds.extend_selection` selects the batch for labels. Needs torch.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from asteroid.configuration import EXPLORED, Frame, Split
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.settings import Criterion
from asteroid.stages.exploration import FAILED
from asteroid.stages.label_kind import choose_kind, count_labels
from asteroid.stages.labels import expected_label_seconds
from asteroid.stages.level_shares import share_levels
from asteroid.stages.round_files import (
    TRAINING_SPLITS,
    Round,
    acquisition,
    at_round,
    read_record,
    read_rounds,
    trainers,
    write_record,
)
from asteroid.stages.rounds import share_labels
from asteroid.stages.scoring import load_models
from asteroid.store import Store
from asteroid.store.round_records import Explored, Picked, PickedFrame

if TYPE_CHECKING:
    from asteroid.acquisition.calibration import Calibration

Floats = npt.NDArray[np.float64]

MOST_SCORED: Final = 5000
"""Largest number of candidates to score, drawn at random from a larger pool."""

SAMPLED: Final = "sampled frames"
"""Source of frames that were not found by an exploration, as shown to users."""

SOURCES: Final = {
    "md": "exploring MD",
    "turn": "turned bonds",
    "kick": "kicked modes",
    FAILED: "where the certificate failed",
}
"""Source of an explored frame by its move, as shown to users."""


def pick_batch(store: Store, molecule: MoleculeSettings) -> str:
    """Score the candidates of the round and record the batch of each molecule, unless no candidate is left.

    Returns:
        Summary of the sources, for the log.

    Raises:
        AsteroidError: when a molecule has not explored.
    """
    rounds, members = read_rounds(store, molecule), trainers(molecule)
    batches = {member.name: read_record(store, member, Picked, len(rounds)) for member in members}
    if missing := [member for member in members if batches[member.name] is None]:
        explored = {member.name: _explored(store, member, len(rounds)) for member in members}
        spent = sum(found.core_seconds for found in explored.values())
        shares = share_labels(store, molecule, rounds, spent)
        new = [_pick(store, member, rounds, explored[member.name], shares[member.name]) for member in missing]
        before = {name: record.ladder for name, record in rounds[-1].items()}
        every = [*zip(missing, new, strict=True), *((member, batches[member.name]) for member in members)]
        if not any(batch and (batch.picked or batch.ladder != before[member.name]) for member, batch in every):
            return "no candidate is left"
        for member, batch in zip(missing, new, strict=True):
            write_record(store, member, batch)
            batches[member.name] = batch
    sources = Counter(frame.source for batch in batches.values() if batch for frame in batch.picked)
    return ", ".join(f"{count} from {source}" for source, count in sources.most_common())


def _explored(store: Store, molecule: MoleculeSettings, number: int) -> Explored:
    found = read_record(store, molecule, Explored, number)
    if found is None:
        raise AsteroidError(f"{molecule.name}: round {number} has not explored yet; run again to go on")
    return found


def _pick(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round], explored: Explored, count: int) -> Picked:
    """The batch of one molecule.

    Args:
        count: number of labels with forces within the budget; for the same cost there may be more energies alone, or
            labels at other levels of a chain.
    """
    from asteroid.acquisition.calibration import calibrate

    began = time.process_time()
    before = at_round(molecule, rounds[-1])
    count, ladder, shared = share_levels(store, molecule, [found[molecule.name] for found in rounds], count)
    kind = choose_kind(store, before, seed=explored.round) if count else None
    wanted = count_labels(molecule, kind, count) if kind else 0
    labels = min(before.budget.accurate + wanted, molecule.budget.accurate)
    now = molecule.budget.model_copy(update={"accurate": labels})
    batch, dropped = list[PickedFrame](), dict[str, int]()
    if wanted:
        known = explored.calibration
        scorer = _Scorer(store, molecule, explored, calibrate(known.uncertainty, known.error, coverage=known.coverage))
        batch = scorer.pick("train", now.train - before.budget.train)
        batch += scorer.pick("valid", now.valid - before.budget.valid)
        dropped = dict(scorer.dropped)
    return Picked(
        round=explored.round,
        labels=labels,
        ladder=ladder,
        criterion=acquisition(molecule).criterion,
        bought=kind,
        share=shared or _share_in_words(store, molecule, rounds[-1], count),
        picked=tuple(batch),
        dropped=dropped,
        core_seconds=time.process_time() - began,
    )


def _share_in_words(store: Store, molecule: MoleculeSettings, last: Round, count: int) -> str:
    if len(last) == 1:
        return ""
    price = expected_label_seconds(store, molecule, molecule.accurate)
    error = 1000 * last[molecule.name].held_out.force_mae
    return f"{count} of the round's labels: its error was {error:.3g} meV/Å, and a label takes {price:.3g} core-seconds"


class _Scorer:
    """Picks candidates of a round by the predictions of its committee."""

    def __init__(
        self, store: Store, molecule: MoleculeSettings, explored: Explored, calibration: "Calibration"
    ) -> None:
        from asteroid.sampling.choose import chosen_accurate

        self._settings, self._calibration = acquisition(molecule), calibration
        self._seed = self._settings.seed + explored.round
        ids = (explored.model_id, *explored.committee)
        self._model, *self._committee = load_models(store, molecule, ids)
        self._labels = store.labels(molecule.name, molecule.accurate)
        self._cheap = store.labels(molecule.name, molecule.cheap)
        # Includes failed labels, which would fail again.
        self._tried = set(store.selected(molecule.name, molecule.accurate))
        self._taken = {i for split in TRAINING_SPLITS for i in chosen_accurate(store, molecule, split)}
        frames = store.frames(molecule.name)
        self._failed = {
            frame.frame_id
            for frame in frames
            if frame.origin.method == EXPLORED
            and frame.origin.parameters["move"] == FAILED
            and (frame.origin.parameters["round"], frame.origin.parameters["model_id"])
            == (explored.round, explored.model_id)
        }
        self.dropped: Counter[str] = Counter()
        self._frames = [frame for frame in frames if self._usable(frame)]

    def pick(self, split: Split, count: int) -> list[PickedFrame]:
        """The batch of a split: by the criterion for training frames, at random for held-out frames.

        Held-out frames picked for their difficulty would give the error of difficult frames only.
        """
        from asteroid.acquisition.committee import committee_predict, descriptors
        from asteroid.acquisition.criteria import Pool
        from asteroid.acquisition.criteria import pick as pick_by

        criterion: Criterion = self._settings.criterion if split == "train" else "random"
        candidates = self._candidates(split, count, criterion)
        if not candidates or count < 1:
            return []
        configurations = [frame.configuration for frame in candidates]
        found = committee_predict(self._committee, configurations)
        bias = np.array([self._bias(f, forces) for f, forces in zip(candidates, found.forces, strict=True)])
        known = [f.configuration for f in self._frames if f.frame_id in self._taken and f.split == split]
        points = descriptors(self._model, [*configurations, *known])
        bounds = self._calibration.bound(found.uncertainty)
        chosen: list[int] = []

        def choose(among: list[int], wanted: int) -> None:
            rest = [i for i in among if i not in chosen]
            pool = Pool(
                points[rest],
                found.uncertainty[rest],
                bias[rest] if np.isfinite(bias).all() else None,
                points[[*chosen, *range(len(candidates), len(points))]],
            )
            chosen.extend(rest[i] for i in pick_by(criterion, pool, wanted, seed=self._seed))

        # After a failed certificate, half of the batch comes from where it failed.
        failed = [i for i, f in enumerate(candidates) if f.frame_id in self._failed]
        if failed:
            choose(failed, math.ceil(count / 2))
        choose(list(range(len(candidates))), count - len(chosen))
        return [
            PickedFrame(
                frame_id=candidates[i].frame_id,
                split=split,
                uncertainty=float(found.uncertainty[i]),
                bound=float(bounds[i]),
                bias=float(bias[i]) if np.isfinite(bias[i]) else None,
                source=SOURCES.get(candidates[i].origin.parameters.get("move", ""), SAMPLED),
                temperature=candidates[i].origin.parameters.get("temperature"),
            )
            for i in chosen
        ]

    def _candidates(self, split: Split, count: int, criterion: Criterion) -> list[Frame]:
        """Frames of a split that are not in use yet; only those with a label, which is free, if they suffice."""
        rest = [f for f in self._frames if f.split == split and f.frame_id not in self._taken]
        free = [f for f in rest if f.frame_id in self._labels]
        found = free
        if len(free) < count:
            found = [f for f in rest if f.frame_id in self._labels or f.frame_id not in self._tried]
        if criterion == "bias":
            found = [f for f in found if self._cheap_forces(f) is not None]
        # By id, so that the batch does not depend on the order of the store's files.
        found = sorted(found, key=lambda frame: frame.frame_id)
        if len(found) > MOST_SCORED:
            drawn = np.random.default_rng(self._seed).permutation(len(found))[:MOST_SCORED]
            found = [found[int(i)] for i in np.sort(drawn)]
        return found

    def _usable(self, frame: Frame) -> bool:
        """Whether the cheap level accepts an explored geometry; sampled geometries are its own."""
        if frame.origin.method != EXPLORED or frame.frame_id in self._cheap:
            return True
        self.dropped["no usable cheap label"] += 1
        return False

    def _bias(self, frame: Frame, forces: Floats) -> float:
        """eV/Å, mean difference of cheap forces and committee forces; NaN without a cheap label."""
        cheap = self._cheap_forces(frame)
        return float("nan") if cheap is None else float(np.abs(cheap - forces).mean())

    def _cheap_forces(self, frame: Frame) -> Floats | None:
        label = self._cheap.get(frame.frame_id)
        return None if label is None else label.forces
