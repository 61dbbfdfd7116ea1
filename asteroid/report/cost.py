"""What a model cost, stage by stage, and what had been quoted for it.

Spent core-seconds come from the store's ledger and the models' cards; quotes from :mod:`asteroid.stages.kept_quotes`.
:mod:`asteroid.report.answers` puts both into words.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from asteroid.levels import LevelOfTheory
from asteroid.report.words import count
from asteroid.store import Store, paths, records
from asteroid.store.account import STAGES, Stage, spent
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card, read_card
from asteroid.store.records import AnalyticHessian
from asteroid.store.round_records import RoundRecord
from asteroid.store.rows import core_seconds
from asteroid.strategies import strategy_named
from asteroid.usage import Usage

Kind = Literal["sampling", "cheap labels", "accurate labels", "training", "exploration", "validation"]
"""The stages that a quote and an account have in common."""

_QUOTED: Mapping[str, Kind] = {
    "sampling": "sampling",
    "cheap labels": "cheap labels",
    "accurate labels": "accurate labels",
    "minimum": "accurate labels",
    "certificate labels": "accurate labels",
    "training": "training",
    "exploration": "exploration",
    "validation": "validation",
}
"""Stage of a quote -> kind of cost."""


@dataclass(frozen=True)
class Cost:
    """Core-seconds of one stage.

    Args:
        core_seconds: CPU seconds.
        gpu_seconds: s during which a GPU was held beside them.
        judges: whether the model would be the same without it.
    """

    stage: str
    core_seconds: float
    kind: Kind
    judges: bool = False
    gpu_seconds: float = 0.0

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
    card: Card,
    scratch: Card | None,
    *,
    rounds: Sequence[RoundRecord] = (),
    pilot: Pilot | None = None,
    compared: Collection[str] = (),
) -> list[Cost]:
    """What this model took, and what only judged it; together it is the bill, but for the processes that wait.

    Labels cost what the ledger says, trainings what their cards say, all else what :mod:`asteroid.store.account` says;
    stores of earlier versions have no such account. A teacher is part of the model's own cost; when it is also the
    model compared with, it is counted once. Of a model of several molecules, the labels of all that trained it are
    counted, and what judged it on this one.

    Args:
        rounds: records of the rounds that led to the model; their trainings are then all that were, the last included.
        pilot: that chose the chain of levels; its labels at other levels are part of the bill.
        compared: ids of further models that it was compared with.
    """
    others = {*compared, *([scratch.model_id] if scratch else [])}
    own = {card.model_id, *others, *(model_id for found in rounds for model_id in found.models)}
    model, trained_on = card.molecule, card.molecules
    account = {stage: _charged(store, {molecule, *trained_on, model}, stage, own) for stage in STAGES}
    account["validation"] = _charged(store, {molecule}, "validation", own)
    return [
        *([Cost("sampling geometries", account["sampling"].cpu, "sampling")] if account["sampling"].cpu else []),
        *_summed(cost for name in dict.fromkeys([*trained_on, molecule]) for cost in _label_costs(store, name, card)),
        *(_pilot_costs(store, molecule, pilot, account["exploration"]) if pilot else []),
        *(
            _round_costs(store, model, rounds, others, account["exploration"])
            if rounds
            else _training_costs(store, model, card, scratch, compared)
        ),
        *_accounted("starting trainings, and the model's minimum", account["training"], "training"),
        *_accounted("MD, scans and errors of the finished model", account["validation"], "validation", judges=True),
    ]


def gpu_hours(costs: Sequence[Cost]) -> float:
    """All together; 0 where no GPU was used."""
    return sum(cost.gpu_seconds for cost in costs) / 3600


def _summed(costs: Iterable[Cost]) -> list[Cost]:
    """Costs of the same stage as one."""
    found: dict[str, Cost] = {}
    for cost in costs:
        before = found.get(cost.stage)
        more = cost.core_seconds + (before.core_seconds if before else 0.0)
        found[cost.stage] = replace(cost, core_seconds=more)
    return list(found.values())


def _charged(store: Store, names: Collection[str], stage: Stage, models: Collection[str]) -> Usage:
    """What the accounts of some molecules and models say of a stage, for these models or for none in particular."""
    used = Usage()
    for found, model_id, entry in (entry for name in sorted(names) for entry in spent(store, name)):
        if found == stage and (model_id is None or model_id in models):
            used.add_earlier(entry.wall, entry.cpu, entry.gpu)
    return used


def _accounted(name: str, used: Usage, kind: Kind, *, judges: bool = False) -> list[Cost]:
    return [Cost(name, used.cpu, kind, judges, used.gpu)] if used.cpu else []


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


def _label_costs(store: Store, molecule: str, card: Card) -> list[Cost]:
    costs = []
    strategy = strategy_named(card.strategy)
    accurate = LevelOfTheory.parse(card.accurate, imported=True)
    ladder = card.settings.get("ladder", ()) if "ladder" in strategy.reads else ()
    below = {level: LevelOfTheory.parse(level, imported=True) for level in (*ladder, card.cheap) if level}
    attempts = store.attempts_once(molecule, [accurate, *below.values()])
    if strategy.reads_cheap_labels and card.cheap:
        cheap = attempts[below[card.cheap]]
        if card.adds_to:
            # Only the labels of the accurate frames are in the model, however many the store has.
            cheap = _of_frames(cheap, {*card.frames.accurate})
        costs.append(Cost(f"cheap labels{_kind(cheap)}", _core_seconds(cheap), "cheap labels"))
    for level in ladder:
        between = attempts[below[level]]
        costs.append(Cost(f"labels of {level}{_kind(between)}", _core_seconds(between), "accurate labels"))
    table = attempts[accurate]
    ids = set(table["frame_id"].to_pylist())
    # By split, not by the frames in the model: a label that failed has cost its time as well.
    judging = {f.frame_id for f in store.frames(molecule, ids=ids) if f.split in ("test", "certificate")}
    kind = _kind(table)
    trained, judged = (_core_seconds(_of_frames(table, part)) for part in (ids - judging, judging))
    costs.append(Cost(f"accurate labels{kind} that trained it", trained, "accurate labels"))
    if judging:
        costs.append(Cost(f"accurate labels{kind} that only judge it", judged, "accurate labels", judges=True))
    levels = dict.fromkeys((*accurate.computed, *([below[card.cheap]] if card.cheap else [])))
    atoms = [atom for level in levels for atom in store.atoms(level).values()]
    if own := [atom["cpu_seconds"] for atom in atoms if atom["molecule"] == molecule]:
        # Molecules of a store share them; the one that needed an atom first has its cost.
        costs.append(Cost("energies of free atoms", sum(own), "accurate labels"))
    folder = paths.analytic_hessians(molecule, card.accurate)
    if hessians := store.names(folder):
        seconds = sum(records.read(store, AnalyticHessian, f"{folder}/{name}").core_seconds for name in hessians)
        costs.append(Cost("analytic second derivatives", seconds, "accurate labels", judges=True))
    return costs


def _pilot_costs(store: Store, molecule: str, pilot: Pilot, choosing: Usage) -> list[Cost]:
    """Labels at levels that the pilot tried and the chain does not have, and the choice itself."""
    chain, tried = ([LevelOfTheory.parse(level) for level in levels] for levels in (pilot.chosen.levels, pilot.prices))
    attempts = store.attempts_once(molecule, [*chain, *tried])
    spent = sum(_core_seconds(attempts[level]) for level in tried if level not in chain)
    return [
        *([Cost("labels of the pilot at other levels", spent, "accurate labels")] if spent else []),
        *_accounted("choice of the chain", choosing, "exploration"),
    ]


def _training_costs(
    store: Store,
    model: str,
    card: Card,
    scratch: Card | None,
    compared: Collection[str],
) -> list[Cost]:
    def trained(ids: Collection[str]) -> Usage:
        return _trained(store, model, ids)

    costs = [Cost("training", card.core_seconds, "training", gpu_seconds=card.gpu_seconds)]
    if teachers := card.teachers:
        name = "its teacher" if len(teachers) == 1 else f"its {len(teachers)} teachers"
        used = trained(teachers)
        costs += _accounted(f"training {name} (accurate labels alone)", used, "training")
    others = {*compared, *([scratch.model_id] if scratch else [])} - {*teachers, card.model_id}
    return [*costs, *_compared(others, trained(others))]


def _round_costs(
    store: Store,
    model: str,
    rounds: Sequence[RoundRecord],
    compared: Collection[str],
    explored: Usage,
) -> list[Cost]:
    """Trainings, committees and exploration.

    Args:
        explored: by the account. Without one, the records of the rounds say what exploration took.
    """
    training = sum(found.core_seconds.training for found in rounds)
    exploration = sum(found.core_seconds.exploration for found in rounds)
    trained = _trained(store, model, {i for found in rounds for i in found.models}) if explored.cpu else Usage()
    if explored.cpu and all(found.committee is not None for found in rounds):
        members = _trained(store, model, {i for found in rounds for i in found.committee or ()})
        members.add_earlier(explored.wall, explored.cpu, explored.gpu)
        exploration, explored = members.cpu, members
    # A round's teacher may be one of them.
    others = {*compared}.difference(*(found.models for found in rounds))
    name = f"training in {count(len(rounds), 'round')}"
    return [
        Cost(name, training, "training", gpu_seconds=trained.gpu),
        Cost("committees and exploration", exploration, "exploration", gpu_seconds=explored.gpu),
        *_compared(others, _trained(store, model, others)),
    ]


def _compared(others: Collection[str], used: Usage) -> list[Cost]:
    if not others:
        return []
    name = "the model compared with" if len(others) == 1 else f"the {len(others)} models compared with"
    return [Cost(f"training {name}", used.cpu, "training", True, used.gpu)]


def _trained(store: Store, model: str, ids: Collection[str]) -> Usage:
    """What trainings used by their cards; those of earlier versions counted wall time, and no GPU."""
    used = Usage()
    for model_id in sorted(ids):
        card = read_card(store, model, model_id)
        used.add_earlier(0.0, card.core_seconds, card.gpu_seconds)
    return used


def _of_frames(attempts: pa.Table, ids: Collection[str]) -> pa.Table:
    return attempts.filter(pc.is_in(attempts["frame_id"], value_set=pa.array(sorted(ids), pa.string())))


def _kind(attempts: pa.Table) -> str:
    """Says so where labels are energies alone: their cost is not that of forces."""
    ok = attempts.filter(pc.equal(attempts["status"], "ok"))
    return " (energies only)" if ok.num_rows and ok["forces"].null_count == ok.num_rows else ""


def _core_seconds(table: pa.Table) -> float:
    return float(core_seconds(table).sum())
