"""What a failed certificate asks of the loop of rounds: a further round, that explores where the model failed.

The flow calls :func:`request_round` after a certificate; ``further-NNN.json`` then lets the loop go on although nothing
else did. The exploration of that round starts at :func:`failing_geometries`. Frames of the certificate themselves never
train: neither they nor near copies of them become candidates (:mod:`asteroid.stages.exploration`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.report.next_step import misses
from asteroid.stages.certificates import report_folder
from asteroid.stages.minima import minimum_or_start
from asteroid.stages.models import trained_models
from asteroid.stages.round_files import (
    acquisition,
    labels_of,
    model_of,
    read_record,
    read_rounds,
    trainers,
    with_labels,
    write_record,
)
from asteroid.stages.rounds import decide_further
from asteroid.stages.torsions import torsion_scans
from asteroid.store import Store, records
from asteroid.store.locks import lock
from asteroid.store.round_records import Further
from asteroid.validation.certificate import Certificate
from asteroid.validation.errors import Errors
from asteroid.validation.line import MINIMUM, ON_POLICY, OPEN, SURVIVED, TORSIONS, Line

WORST: Final = 4
"""Frames of the model's own MD, those with the largest errors, from which a further round starts."""

BEFORE_END: Final = 3
"""Recorded frames before the end of a broken trajectory at which a further round starts: it was still the molecule."""


@dataclass(frozen=True)
class RoundRequest:
    """What follows from the certificate of the loop's last model.

    Args:
        further: whether another round has been ordered.
        reason: a sentence for people.
    """

    further: bool
    reason: str


def request_round(store: Store, molecule: MoleculeSettings) -> RoundRequest:
    """Order another round if the certificate of the last one's model failed and the budget has something left.

    Called when the loop has ended. The number of rounds does not count as budget here, nor do the target and the
    least gain, which judge sampled frames alone.
    """
    with lock(store, f"acquiring {molecule.model_name}"):
        rounds, members = read_rounds(store, molecule), trainers(molecule)
        # Of several molecules, two may have failed in the same line.
        failed = list(dict.fromkeys(line for member in members for line in failed_lines(store, member)))
        unsure = list(dict.fromkeys(line for member in members for line in unsure_lines(store, member)))
        if not failed and unsure:
            return RoundRequest(False, f"no round is needed, but more evidence in: {', '.join(unsure)}")
        if not failed:
            return RoundRequest(False, "the certificate asks for no further round")
        said = f"the certificate failed in: {', '.join(failed)}"
        if read_record(store, molecule, Further, len(rounds)) is not None:
            # The loop has been asked since, and had nothing to label.
            return RoundRequest(False, f"{said}; no frame is left that could be labelled")
        ordered = sum(read_record(store, molecule, Further, number) is not None for number in range(len(rounds)))
        if ordered >= acquisition(molecule).certify_rounds:
            return RoundRequest(False, f"{said}; further rounds that it has ordered: {ordered}, no more are allowed")
        if (spent := decide_further(store, molecule, rounds)).stop:
            return RoundRequest(False, f"{said}; {spent.reason}")
        write_record(store, molecule, Further(len(rounds), model_of(rounds[-1]), tuple(failed)))
        return RoundRequest(True, f"{said}; another round labels geometries there")


def failed_lines(store: Store, molecule: MoleculeSettings) -> list[str]:
    """Names of the requirements that the last round's model misses; none where it has not been judged."""
    certificate = _certificate(store, molecule)
    lines = certificate.lines if certificate else []
    return [line.name for line in lines if wants_better_model(line)]


def unsure_lines(store: Store, molecule: MoleculeSettings) -> list[str]:
    """Names of the requirements that only lack evidence, which no further round of training labels gives."""
    certificate = _certificate(store, molecule)
    lines = certificate.lines if certificate else []
    return [line.name for line in lines if line.state == OPEN and not wants_better_model(line)]


def wants_better_model(line: Line) -> bool:
    """Whether a line was missed, by its value at least, or could not be measured."""
    return misses(line) or (line.state == OPEN and line.value is None)


def failing_geometries(
    store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None
) -> list[Configuration]:
    """Where the model that the last round led to failed its certificate: what a further round starts from. Needs torch.

    Along the torsions whose energies are off, the frames of its own MD with the largest errors, the last whole ones of
    trajectories that broke, and the way to the accurate minimum. A line that names no place adds none.
    """
    certificate, failed = _certificate(store, molecule), failed_lines(store, molecule)
    found: list[Configuration] = []
    if certificate is None:
        return found
    model_id, evidence = certificate.model_id, certificate.evidence
    if TORSIONS in failed:
        limit = molecule.validation.thresholds.torsion / 1000
        off = [i for i, t in enumerate(evidence.torsions) if t.worst is None or t.worst > limit]
        rest = minimum_or_start(store, molecule, model_id)
        scans = torsion_scans(store, molecule, model_id)
        found += [rest.with_positions(p) for i in off for p in scans[i].positions]
    if ON_POLICY in failed and evidence.on_policy and evidence.on_policy.errors:
        found += _stored(store, molecule, _worst(evidence.on_policy.errors))
    if SURVIVED in failed:
        found += _before_breaking(store, molecule, model_id, on_progress)
    if any(name in failed for name in MINIMUM):
        steps = store.frames(molecule.name, split="certificate")
        found += [
            f.configuration
            for f in steps
            if f.origin.method == "minimum" and f.origin.parameters["model_id"] == model_id
        ]
    return found


def _certificate(store: Store, molecule: MoleculeSettings) -> "Certificate | None":
    rounds = read_rounds(store, molecule)
    if not rounds:
        return None
    last = with_labels(molecule, labels_of(rounds[-1]))
    models = trained_models(store, last)
    path = models and f"{report_folder(store, last, models)}/certificate.json"
    if not path or not store.exists(path):
        return None
    return records.read(store, Certificate, path)


def _worst(errors: "Errors") -> list[str]:
    """Ids of the frames whose forces are off by most."""
    pairs = zip(errors.frame_ids, errors.reference_forces, errors.predicted_forces, strict=True)
    off = {i: np.abs(np.subtract(found, true)).mean() for i, true, found in pairs if true is not None}
    return sorted(off, key=lambda frame_id: (-off[frame_id], frame_id))[:WORST]


def _stored(store: Store, molecule: MoleculeSettings, frame_ids: Sequence[str]) -> list[Configuration]:
    frames = {frame.frame_id: frame.configuration for frame in store.frames(molecule.name, ids=frame_ids)}
    return [frames[frame_id] for frame_id in frame_ids]


def _before_breaking(
    store: Store, molecule: MoleculeSettings, model_id: str, on_progress: Progress | None
) -> list[Configuration]:
    from asteroid.stages.own_md import own_md

    rest = minimum_or_start(store, molecule, model_id)
    broken = [
        replica for replica in own_md(store, molecule, model_id, on_progress=on_progress).nvt if not replica.stable
    ]
    return [rest.with_positions(r.positions[max(0, len(r.positions) - 1 - BEFORE_END)]) for r in broken]
