"""The steps of the pipeline as functions. Each asks the store what is missing and computes only that.

Each takes a store and settings, writes its result to the store, and can be killed and called again.
:mod:`asteroid.pipeline` says in which order and where they run; the command line calls nothing below them. Functions
that need torch say so and import it when they are called, in a process without quantum chemistry and without Prefect's
event loop.
"""

from asteroid.stages.acquire import explore, lacks_batch, lacks_exploration, lacks_record, pick, record
from asteroid.stages.certificates import certify, lacks_certificate, outcome, report_folder
from asteroid.stages.energy_cost import lacks_energy_cost, measure_energy_cost
from asteroid.stages.evidence import label_minimum, lacks_proposal, propose_evidence
from asteroid.stages.feedback import request_round
from asteroid.stages.hessians import compute_hessian, lacks_hessian, propose_hessian
from asteroid.stages.kept_quotes import price_of_labels
from asteroid.stages.labels import (
    expected_label_seconds,
    label,
    lacks_frames,
    lacks_labels,
    load_checked,
    sample,
    select,
)
from asteroid.stages.minima import propose_minimum
from asteroid.stages.mistakes import likely_mistakes
from asteroid.stages.models import (
    Models,
    held_out_error,
    lacks_training,
    round_model,
    train,
    trained_models,
    training_frames,
)
from asteroid.stages.pilot import choose_chain, lacks_chain, propose_pilot, with_chain
from asteroid.stages.review import Audit, audit_labels, review_explored, review_labels
from asteroid.stages.round_files import acquisition, read_rounds, trainers
from asteroid.stages.rounds import NextRound, begin_rounds, extend_selection, next_round

__all__ = [
    "Audit",
    "Models",
    "NextRound",
    "acquisition",
    "audit_labels",
    "begin_rounds",
    "certify",
    "choose_chain",
    "compute_hessian",
    "expected_label_seconds",
    "explore",
    "extend_selection",
    "held_out_error",
    "label",
    "label_minimum",
    "lacks_batch",
    "lacks_certificate",
    "lacks_chain",
    "lacks_energy_cost",
    "lacks_exploration",
    "lacks_frames",
    "lacks_hessian",
    "lacks_labels",
    "lacks_proposal",
    "lacks_record",
    "lacks_training",
    "likely_mistakes",
    "load_checked",
    "measure_energy_cost",
    "next_round",
    "outcome",
    "pick",
    "price_of_labels",
    "propose_evidence",
    "propose_hessian",
    "propose_minimum",
    "propose_pilot",
    "read_rounds",
    "record",
    "report_folder",
    "request_round",
    "review_explored",
    "review_labels",
    "round_model",
    "sample",
    "select",
    "train",
    "trained_models",
    "trainers",
    "training_frames",
    "with_chain",
]
