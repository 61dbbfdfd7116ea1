"""Request for a further round of labels after a failed certificate, with exploration where the model failed.

The pipeline calls :func:`request_round` after a certificate; with ``further-NNN.json`` in the store, the loop continues
despite its other limits. The exploration of that round starts at :func:`failing_geometries`. Frames of the certificate
never train, and :mod:`asteroid.stages.exploration` drops near copies of them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.report.next_step import misses
from asteroid.stages.certificates import report_folder
from asteroid.stages.minima import minimum_or_start, minimum_path
from asteroid.stages.models import trained_models
from asteroid.stages.own_md import own_md
from asteroid.stages.round_files import (
    acquisition,
    at_round,
    model_of,
    read_record,
    read_rounds,
    trainers,
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
"""Number of frames from MD with the model, those with the largest errors, at which a further round starts."""

BEFORE_END: Final = 3
"""Number of recorded frames before the end of a broken trajectory at which a further round starts: the molecule is
still intact there.
"""


@dataclass(frozen=True)
class RoundRequest:
    """Answer to a certificate of the last model of the loop.

    Args:
        further: whether another round has been requested.
        reason: as shown to users.
    """

    further: bool
    reason: str


def request_round(store: Store, molecule: MoleculeSettings) -> RoundRequest:
    """Request another round if the certificate of the last model failed and budget is left.

    Called when the loop has ended. Only labels and core-hours count as budget: the target and the least gain refer to
    sampled frames, and ``certify_rounds`` limits the number of further rounds.
    """
    with lock(store, f"acquiring {molecule.model_name}"):
        rounds, members = read_rounds(store, molecule), trainers(molecule)
        # Several molecules may have failed in the same line.
        failed = list(dict.fromkeys(line for member in members for line in failed_lines(store, member)))
        unsure = list(dict.fromkeys(line for member in members for line in unsure_lines(store, member)))
        if not failed and unsure:
            return RoundRequest(False, f"no round is needed, but more evidence in: {', '.join(unsure)}")
        if not failed:
            return RoundRequest(False, "the certificate asks for no further round")
        failure = f"the certificate failed in: {', '.join(failed)}"
        if read_record(store, molecule, Further, len(rounds)) is not None:
            # Requested before, but no frame was left.
            return RoundRequest(False, f"{failure}; no frame is left that could be labelled")
        further = sum(read_record(store, molecule, Further, number) is not None for number in range(len(rounds)))
        if further >= acquisition(molecule).certify_rounds:
            return RoundRequest(False, f"{failure}; further rounds so far: {further}, no more are allowed")
        if (spent := decide_further(store, molecule, rounds)).stop:
            return RoundRequest(False, f"{failure}; {spent.reason}")
        write_record(store, molecule, Further(len(rounds), model_of(rounds[-1]), tuple(failed)))
        return RoundRequest(True, f"{failure}; another round labels geometries there")


def failed_lines(store: Store, molecule: MoleculeSettings) -> list[str]:
    """Names of the requirements that the model of the last round fails; none without a certificate."""
    certificate = _certificate(store, molecule)
    return [line.name for line in certificate.lines if wants_better_model(line)] if certificate else []


def unsure_lines(store: Store, molecule: MoleculeSettings) -> list[str]:
    """Names of the requirements that lack only evidence, which more training labels would not give."""
    certificate = _certificate(store, molecule)
    lines = certificate.lines if certificate else []
    return [line.name for line in lines if line.state == OPEN and not wants_better_model(line)]


def wants_better_model(line: Line) -> bool:
    """Whether a line is missed, at least by its value, or could not be measured."""
    return misses(line) or (line.state == OPEN and line.value is None)


def failing_geometries(
    store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None
) -> list[Configuration]:
    """Geometries where the last round's model failed its certificate, at which a further round starts. Needs torch.

    They are the points of failed torsion profiles, the on-policy frames with the largest errors, frames before
    trajectories broke, and the steps to the accurate minimum. Other lines have no geometries.
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
        ids = _worst(evidence.on_policy.errors)
        frames = {frame.frame_id: frame.configuration for frame in store.frames(molecule.name, ids=ids)}
        found += [frames[frame_id] for frame_id in ids]
    if SURVIVED in failed:
        found += _before_breaking(store, molecule, model_id, on_progress)
    if any(name in failed for name in MINIMUM):
        found += minimum_path(store, molecule, model_id)
    return found


def _certificate(store: Store, molecule: MoleculeSettings) -> "Certificate | None":
    rounds = read_rounds(store, molecule)
    if not rounds:
        return None
    last = at_round(molecule, rounds[-1])
    models = trained_models(store, last)
    path = models and f"{report_folder(store, last, models)}/certificate.json"
    if not path or not store.exists(path):
        return None
    return records.read(store, Certificate, path)


def _worst(errors: "Errors") -> list[str]:
    """Ids of the frames with the largest force errors."""
    pairs = zip(errors.frame_ids, errors.reference_forces, errors.predicted_forces, strict=True)
    off = {i: np.abs(np.subtract(found, true)).mean() for i, true, found in pairs if true is not None}
    return sorted(off, key=lambda frame_id: (-off[frame_id], frame_id))[:WORST]


def _before_breaking(
    store: Store, molecule: MoleculeSettings, model_id: str, on_progress: Progress | None
) -> list[Configuration]:
    """Last intact geometries of the broken NVT trajectories."""
    rest = minimum_or_start(store, molecule, model_id)
    trajectories = own_md(store, molecule, model_id, on_progress=on_progress).nvt
    broken = [replica for replica in trajectories if not replica.stable]
    return [rest.with_positions(r.positions[max(0, len(r.positions) - 1 - BEFORE_END)]) for r in broken]
