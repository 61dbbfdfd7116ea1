"""Names in the store as hashes of the content, so that equal content has equal names.

A new setting with its default must not change a name, or existing stores would compute everything again. So
:func:`content` leaves out settings that are newer than version 0.1 and have their default.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

from asteroid.settings import Settings

FIRST_FIELDS: Final = {
    "SamplingSettings": "methods frames temperatures conformers timestep equilibration interval frames_per_group seed",
    "LabelSettings": "forces time_limit memory_limit",
    "LabellingSettings": "cheap accurate",
    "BudgetSettings": "accurate valid_fraction test ladder",
    "ModelSettings": "channels max_l max_ell correlation interactions radial r_max",
    "TrainingSettings": "strategy gamma weights teachers ladder model foundation pretrain_steps finetune_steps "
    "correction_steps scratch_steps batch_size finetune_batch_size learning_rate finetune_learning_rate energy_weight "
    "forces_weight ema_decay clip patience evaluate_every precision device seed",
    "ThresholdSettings": "force_mae energy_mae nve_drift nvt_stable minimum_force minimum_rmsd on_policy_mae "
    "frequency_mean frequency_worst torsion bonds angles dihedrals",
    "ValidationSettings": "temperatures timestep nve_ps nvt_ps replicas on_policy torsion_points frequencies curve "
    "thresholds seed",
    "AcquisitionSettings": "criterion initial batch labels rounds core_hours target least_gain committee temperatures "
    "ps replicas certify_rounds train_on seed",
}
"""Settings of version 0.1, by block; always included."""


def digest_ids(ids: Iterable[str]) -> str:
    """Hash of the ids of frames in their order, 16 hexadecimal digits, for the name of a batch or selection."""
    return hashlib.sha256("".join(ids).encode()).hexdigest()[:16]


def lot(frame_id: str, seed: int) -> str:
    """Sorted by it, frames are in a random order that stays when frames are added."""
    return hashlib.sha256(f"{seed} {frame_id}".encode()).hexdigest()


def digest(content: Any) -> str:
    """Hash of JSON content, 16 hexadecimal digits.

    >>> digest(["m-round-0", "cheap"]) != digest(["m", "round-0-cheap"])
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def content(settings: Settings, *, include: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, Any]:
    """The settings that determine a result, for :func:`digest`.

    Args:
        include: names of settings; empty for all.
        exclude: settings without effect on the result.
    """
    block = type(settings).__name__
    first = frozenset(FIRST_FIELDS.get(block, "").split())
    plain = settings.model_dump(mode="json")
    found = {}
    for name, field in type(settings).model_fields.items():
        if name in exclude or (include and name not in include):
            continue
        value = getattr(settings, name)
        if name in first or value != field.get_default(call_default_factory=True):
            found[name] = content(value) if isinstance(value, Settings) else plain[name]
    return found


def file_digest(path: str | Path) -> str:
    """SHA-256 of the content of a file."""
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
