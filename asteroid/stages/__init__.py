"""The pipeline as named steps, each of which asks the store what is missing and computes only that.

``sample → select → label (cheap, accurate) → train → compare minima → certify``. Flows and the command line call these
functions and nothing deeper. Each takes references and settings, leaves its result in the store, and can be killed and
called again. Those that need torch run in a child process of their own, which keeps torch away from quantum chemistry
and from Prefect's event loop; all others import neither.
"""

from asteroid.stages.certificates import certify, certify_in_child, is_certified, outcome, report_folder
from asteroid.stages.labels import expected_label_seconds, label, load_checked, sample, select
from asteroid.stages.minima import MINIMUM_LABELS, propose_minimum
from asteroid.stages.models import (
    Models,
    TrainingFrames,
    held_out_error,
    train,
    train_in_child,
    trained_models,
    training_frames,
)
from asteroid.stages.review import Audit, audit_labels, review_labels

__all__ = [
    "MINIMUM_LABELS",
    "Audit",
    "Models",
    "TrainingFrames",
    "audit_labels",
    "certify",
    "certify_in_child",
    "expected_label_seconds",
    "held_out_error",
    "is_certified",
    "label",
    "load_checked",
    "outcome",
    "propose_minimum",
    "report_folder",
    "review_labels",
    "sample",
    "select",
    "train",
    "train_in_child",
    "trained_models",
    "training_frames",
]
