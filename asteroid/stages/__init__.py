"""The pipeline as named steps, each of which asks the store what is missing and computes only that.

``sample → select → label (cheap, accurate) → train → propose evidence → compare minima → certify``. Flows and the
command line call these functions and nothing deeper. Each takes references and settings, leaves its result in the
store, and can be killed and called again. Those that need torch run in a child process of their own, which keeps torch
away from quantum chemistry and from Prefect's event loop; all others import neither.
"""

from asteroid.stages.acquire import Step, acquire, acquire_in_child
from asteroid.stages.atoms import lacks_atoms
from asteroid.stages.calculations import Calculation, calculate, lacks_calculation
from asteroid.stages.certificates import certify, certify_in_child, is_certified, outcome, report_folder
from asteroid.stages.evidence import propose_evidence, propose_evidence_in_child, read_asked
from asteroid.stages.feedback import Verdict, order_round
from asteroid.stages.hessians import propose_hessian
from asteroid.stages.labels import expected_label_seconds, label, load_checked, sample, select
from asteroid.stages.minima import MINIMUM_LABELS, propose_minimum
from asteroid.stages.mistakes import likely_mistakes
from asteroid.stages.models import (
    Models,
    held_out_error,
    round_model,
    train,
    train_in_child,
    trained_models,
    training_frames,
)
from asteroid.stages.review import Audit, audit_labels, review_labels
from asteroid.stages.rounds import (
    NextRound,
    acquisition,
    begin_rounds,
    extend_selection,
    next_round,
    read_rounds,
    review_explored,
)

__all__ = [
    "MINIMUM_LABELS",
    "Audit",
    "Calculation",
    "Models",
    "NextRound",
    "Step",
    "Verdict",
    "acquire",
    "acquire_in_child",
    "acquisition",
    "audit_labels",
    "begin_rounds",
    "calculate",
    "certify",
    "certify_in_child",
    "expected_label_seconds",
    "extend_selection",
    "held_out_error",
    "is_certified",
    "label",
    "lacks_atoms",
    "lacks_calculation",
    "likely_mistakes",
    "load_checked",
    "next_round",
    "order_round",
    "outcome",
    "propose_evidence",
    "propose_evidence_in_child",
    "propose_hessian",
    "propose_minimum",
    "read_asked",
    "read_rounds",
    "report_folder",
    "review_explored",
    "review_labels",
    "round_model",
    "sample",
    "select",
    "train",
    "train_in_child",
    "trained_models",
    "training_frames",
]
