"""Names of things in the store: hashes of what they are made from, so that the same content has the same name.

A name must not change when asteroid learns a new setting whose default does what was done before: an existing store
would make everything again. So :func:`content` leaves out settings that came after version 0.1 and have their default.
"""

import hashlib
import json
from collections.abc import Collection
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
"""Settings of version 0.1, by block. These always count: a change of their default is a change of what is done."""


def digest(content: Any) -> str:
    """16 hexadecimal digits that change with the content.

    >>> digest(["m-round-0", "cheap"]) != digest(["m", "round-0-cheap"])
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def content(settings: Settings, *, include: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, Any]:
    """What of a block of settings decides a result, for :func:`digest`.

    Args:
        include: these settings alone; all when empty.
        exclude: settings that change no result.
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
    """SHA-256 of a file's bytes: the same file elsewhere has the same name."""
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
