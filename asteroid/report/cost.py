"""What a model cost, stage by stage, and what had been quoted for it.

Spent core-seconds come from the store's ledger and the models' cards; quotes from :mod:`asteroid.stages.kept_quotes`.
:mod:`asteroid.report.answers` puts both into words.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.labelling.hessian import hessian_folder
from asteroid.levels import LevelOfTheory
from asteroid.report.words import WORDS, count
from asteroid.store import Store

Kind = Literal["cheap labels", "accurate labels", "training", "exploration"]
"""The stages that a quote and an account have in common; a quote knows no exploration."""

_QUOTED: Mapping[str, Kind] = {
    "cheap labels": "cheap labels",
    "accurate labels": "accurate labels",
    "minimum": "accurate labels",
    "certificate labels": "accurate labels",
    "training": "training",
}
"""Stage of a quote -> kind of cost. Sampling and validation keep no account."""


@dataclass(frozen=True)
class Cost:
    """Core-seconds of one stage.

    Args:
        judges: whether the model would be the same without it.
    """

    stage: str
    core_seconds: float
    kind: Kind
    judges: bool = False

    @property
    def core_hours(self) -> float:
        return self.core_seconds / 3600


@dataclass(frozen=True)
class Quoted:
    """What ``asteroid plan`` said, for the kinds of cost of which there is an account.

    Args:
        created: when, ISO.
        most, least: core-seconds of each kind, what had been spent by then included.
    """

    created: str
    most: Mapping[Kind, float]
    least: Mapping[Kind, float]


def collect_costs(
    store: Store,
    molecule: str,
    card: Mapping[str, Any],
    scratch: Mapping[str, Any] | None,
    *,
    rounds: Sequence[Mapping[str, Any]] = (),
    compared: Collection[str] = (),
) -> list[Cost]:
    """Core-seconds of the labels and trainings that this model took, and of what only judged it.

    A teacher is part of the model's own cost; when it is also the model compared with, it is counted once. Sampling is
    not counted, and so a strategy that takes configurations without labels costs nothing at the cheap level.

    Args:
        rounds: records of the rounds that led to the model; their trainings are then all that were, the last included.
        compared: ids of further models that it was compared with.
    """
    return [
        *_label_costs(store, molecule, card),
        *(
            _round_costs(store, molecule, rounds, {*compared, *([scratch["model_id"]] if scratch else [])})
            if rounds
            else _training_costs(store, molecule, card, scratch, compared)
        ),
    ]


def read_quote(quote: Mapping[str, Any], costs: Sequence[Cost]) -> Quoted:
    """The part of a kept quote that can be held against these costs."""
    kinds = {cost.kind for cost in costs}
    most: dict[Kind, float] = {}
    least: dict[Kind, float] = {}
    for line in quote["lines"]:
        kind = _QUOTED.get(line["stage"])
        if kind in kinds and kind is not None:
            spent = line["spent_core_seconds"]
            most[kind] = most.get(kind, 0.0) + spent + line["core_seconds"]
            least[kind] = least.get(kind, 0.0) + spent + line["least_core_seconds"]
    return Quoted(quote["created"], most, least)


def _label_costs(store: Store, molecule: str, card: Mapping[str, Any]) -> list[Cost]:
    costs = []
    if WORDS[card["strategy"]].reads_cheap_labels:
        cheap = store.attempts(molecule, LevelOfTheory.parse(card["cheap"], imported=True))
        if card.get("adds_to"):
            # Only the labels of the accurate frames are in the model, however many the store has.
            cheap = _of_frames(cheap, {*card["frames"]["accurate_train"], *card["frames"]["accurate_valid"]})
        costs.append(Cost(f"cheap labels{_kind(cheap)}", _core_seconds(cheap), "cheap labels"))
    for level in card["settings"].get("ladder", ()) if card["strategy"] == "corrected" else ():
        between = store.attempts(molecule, LevelOfTheory.parse(level, imported=True))
        costs.append(Cost(f"labels of {level}{_kind(between)}", _core_seconds(between), "accurate labels"))
    table = store.attempts(molecule, LevelOfTheory.parse(card["accurate"], imported=True))
    ids = set(table["frame_id"].to_pylist())
    # By split, not by the frames in the model: a label that failed has cost its time as well.
    judging = {f.frame_id for f in store.frames(molecule, ids=ids) if f.split in ("test", "certificate")}
    kind = _kind(table)
    trained, judged = (_core_seconds(_of_frames(table, part)) for part in (ids - judging, judging))
    costs.append(Cost(f"accurate labels{kind} that trained it", trained, "accurate labels"))
    if judging:
        costs.append(Cost(f"accurate labels{kind} that only judge it", judged, "accurate labels", judges=True))
    folder = hessian_folder(molecule, card["accurate"])
    if hessians := store.names(folder):
        seconds = sum(float(store.read_json(f"{folder}/{name}")["core_seconds"]) for name in hessians)
        costs.append(Cost("analytic second derivatives", seconds, "accurate labels", judges=True))
    return costs


def _training_costs(
    store: Store,
    molecule: str,
    card: Mapping[str, Any],
    scratch: Mapping[str, Any] | None,
    compared: Collection[str],
) -> list[Cost]:
    def seconds(ids: Collection[str]) -> float:
        return _trained_seconds(store, molecule, ids)

    costs = [Cost("training", card["core_seconds"], "training")]
    teachers = [model_id for role, model_id in card["parents"].items() if role.startswith("teacher")]
    if teachers:
        name = "its teacher" if len(teachers) == 1 else f"its {len(teachers)} teachers"
        costs.append(Cost(f"training {name} (accurate labels alone)", seconds(teachers), "training"))
    others = {*compared, *([scratch["model_id"]] if scratch else [])} - {*teachers, card["model_id"]}
    return [*costs, *_compared(others, seconds(others))]


def _round_costs(
    store: Store, molecule: str, rounds: Sequence[Mapping[str, Any]], compared: Collection[str]
) -> list[Cost]:
    training, exploration = (sum(r["core_seconds"][name] for r in rounds) for name in ("training", "exploration"))
    # A round's teacher may be one of them.
    others = {*compared}.difference(*(found["models"] for found in rounds))
    return [
        Cost(f"training in {count(len(rounds), 'round')}", training, "training"),
        Cost("committees and exploration", exploration, "exploration"),
        *_compared(others, _trained_seconds(store, molecule, others)),
    ]


def _compared(others: Collection[str], seconds: float) -> list[Cost]:
    if not others:
        return []
    name = "the model compared with" if len(others) == 1 else f"the {len(others)} models compared with"
    return [Cost(f"training {name}", seconds, "training", judges=True)]


def _trained_seconds(store: Store, molecule: str, ids: Collection[str]) -> float:
    return sum(float(store.read_json(f"models/{molecule}/{i}/card.json")["core_seconds"]) for i in sorted(ids))


def _of_frames(attempts: pa.Table, ids: Collection[str]) -> pa.Table:
    return attempts.filter(pc.is_in(attempts["frame_id"], value_set=pa.array(sorted(ids), pa.string())))


def _kind(attempts: pa.Table) -> str:
    """Says so where labels are energies alone: their cost is not that of forces."""
    ok = attempts.filter(pc.equal(attempts["status"], "ok"))
    return " (energies only)" if ok.num_rows and ok["forces"].null_count == ok.num_rows else ""


def _core_seconds(table: pa.Table) -> float:
    seconds, cores = (np.asarray(table[name].to_numpy(), dtype=float) for name in ("wall_seconds", "cores"))
    return float(seconds @ cores)
