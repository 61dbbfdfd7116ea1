"""Cost of a model, stage by stage, and the estimate made before.

Costs come from the ledger of labels, the model cards and the account of other stages (:mod:`asteroid.store.account`);
estimates from :mod:`asteroid.stages.kept_quotes`. Used by :mod:`asteroid.report.answers`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from asteroid.levels import LevelOfTheory
from asteroid.report.words import count
from asteroid.store import Store, paths, quote_records, records
from asteroid.store.account import STAGES, Stage, spent
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card, read_card
from asteroid.store.records import AnalyticHessian
from asteroid.store.round_records import RoundRecord
from asteroid.store.rows import core_seconds
from asteroid.strategies import strategy_named
from asteroid.usage import Usage

Kind = Literal["sampling", "cheap labels", "accurate labels", "training", "exploration", "validation"]
"""Kinds of cost that estimates and accounts have in common."""

_QUOTED: Mapping[quote_records.Stage, Kind] = {
    "sampling": "sampling",
    "cheap labels": "cheap labels",
    "accurate labels": "accurate labels",
    "minimum": "accurate labels",
    "certificate labels": "accurate labels",
    "training": "training",
    "exploration": "exploration",
    "validation": "validation",
}
"""Kind of cost of each stage of an estimate."""


@dataclass(frozen=True)
class Cost:
    """Core-seconds of one stage.

    Args:
        core_seconds: CPU seconds.
        validates: whether it is for validation or comparison, and not part of the model.
        gpu_seconds: s during which a GPU was held.
    """

    stage: str
    core_seconds: float
    kind: Kind
    validates: bool = False
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Quoted:
    """Estimate of ``asteroid plan`` for the kinds of cost that are known.

    Args:
        created: ISO time.
        most, least: core-seconds of each kind, including those already spent.
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
    """All costs of a model, including its validation.

    Stores of earlier versions have no account for sampling, exploration and validation. A teacher that is also the
    scratch model is counted once. For a model of several molecules, the labels of all training molecules are counted,
    and the validation on this molecule.

    Args:
        scratch: card of the scratch model; None without one.
        rounds: records of the rounds of this model, with all trainings.
        pilot: which chose the chain of levels; its labels at other levels are included.
        compared: ids of further models for comparison.
    """
    others = {*compared, *([scratch.model_id] if scratch else [])}
    own = {card.model_id, *others, *(model_id for found in rounds for model_id in found.models)}
    model, trained_on = card.molecule, card.molecules
    account = {stage: _charged(store, {molecule, *trained_on, model}, stage, own) for stage in STAGES}
    account["validation"] = _charged(store, {molecule}, "validation", own)
    return [
        *_accounted("sampling", account["sampling"], "sampling"),
        *_summed(cost for name in dict.fromkeys([*trained_on, molecule]) for cost in _label_costs(store, name, card)),
        *(_pilot_costs(store, molecule, pilot, account["exploration"]) if pilot else []),
        *(
            _round_costs(store, model, rounds, others, account["exploration"])
            if rounds
            else _training_costs(store, model, card, scratch, compared)
        ),
        *_accounted("start of trainings, and the model's minimum", account["training"], "training"),
        *_accounted("MD, torsion scans and errors", account["validation"], "validation", validates=True),
    ]


def gpu_hours(costs: Sequence[Cost]) -> float:
    """GPU-hours of all stages together."""
    return sum(cost.gpu_seconds for cost in costs) / 3600


def _summed(costs: Iterable[Cost]) -> list[Cost]:
    """Costs of equal stages added up."""
    found: dict[str, Cost] = {}
    for cost in costs:
        before = found.get(cost.stage)
        more = cost.core_seconds + (before.core_seconds if before else 0.0)
        found[cost.stage] = replace(cost, core_seconds=more)
    return list(found.values())


def _charged(store: Store, names: Collection[str], stage: Stage, models: Collection[str]) -> Usage:
    """Usage of a stage in the accounts of ``names``, for these models or for no particular one."""
    used = Usage()
    for entry in (entry for name in sorted(names) for entry in spent(store, name)):
        if entry.stage == stage and (entry.model_id is None or entry.model_id in models):
            used.add_earlier(entry.wall_seconds, entry.cpu_seconds, entry.gpu_seconds)
    return used


def _accounted(name: str, used: Usage, kind: Kind, *, validates: bool = False) -> list[Cost]:
    return [Cost(name, used.cpu, kind, validates, used.gpu)] if used.cpu else []


def read_quote(quote: quote_records.KeptQuote, costs: Sequence[Cost]) -> Quoted:
    """The part of a stored estimate with the same kinds as these costs."""
    kinds = {cost.kind for cost in costs}
    most: dict[Kind, float] = {}
    least: dict[Kind, float] = {}
    for line in quote.lines:
        kind = _QUOTED[line.stage]
        if kind in kinds:
            for total, left in ((most, line.core_seconds), (least, line.least_core_seconds)):
                total[kind] = total.get(kind, 0.0) + line.spent_core_seconds + left
    return Quoted(quote.created, most, least)


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
            # The model uses only the cheap labels of the accurate frames.
            cheap = _of_frames(cheap, {*card.frames.accurate})
        costs.append(Cost(f"cheap labels{_kind(cheap)}", _core_seconds(cheap), "cheap labels"))
    for level in ladder:
        between = attempts[below[level]]
        costs.append(Cost(f"labels of {level}{_kind(between)}", _core_seconds(between), "accurate labels"))
    table = attempts[accurate]
    ids = set(table["frame_id"].to_pylist())
    # By split, not by the frames of the model, to include failed labels.
    tested = {f.frame_id for f in store.frames(molecule, ids=ids) if f.split in ("test", "certificate")}
    kind = _kind(table)
    training, validation = (_core_seconds(_of_frames(table, part)) for part in (ids - tested, tested))
    costs.append(Cost(f"accurate labels{kind} for training", training, "accurate labels"))
    if tested:
        costs.append(Cost(f"accurate labels{kind} for validation", validation, "accurate labels", validates=True))
    levels = dict.fromkeys((*accurate.computed, *([below[card.cheap]] if card.cheap else [])))
    atoms = [atom for level in levels for atom in store.atoms(level).values()]
    if own := [atom.cpu_seconds for atom in atoms if atom.molecule == molecule]:
        # Molecules of a store share atoms; the first one that needs an atom has its cost.
        costs.append(Cost("energies of free atoms", sum(own), "accurate labels"))
    folder = paths.analytic_hessians(molecule, card.accurate)
    if hessians := store.names(folder):
        seconds = sum(records.read(store, AnalyticHessian, f"{folder}/{name}").core_seconds for name in hessians)
        costs.append(Cost("analytic second derivatives", seconds, "accurate labels", validates=True))
    return costs


def _pilot_costs(store: Store, molecule: str, pilot: Pilot, choosing: Usage) -> list[Cost]:
    """Labels at levels that the chain does not have, and the choice of the chain."""
    chain, tried = ([LevelOfTheory.parse(level) for level in levels] for levels in (pilot.chosen.levels, pilot.prices))
    attempts = store.attempts_once(molecule, [*chain, *tried])
    labels = Usage(cpu=sum(_core_seconds(attempts[level]) for level in tried if level not in chain))
    return [
        *_accounted("labels of the pilot at other levels", labels, "accurate labels"),
        *_accounted("choice of the chain", choosing, "exploration"),
    ]


def _training_costs(
    store: Store,
    model: str,
    card: Card,
    scratch: Card | None,
    compared: Collection[str],
) -> list[Cost]:
    costs = [Cost("training", card.core_seconds, "training", gpu_seconds=card.gpu_seconds)]
    if teachers := card.teachers:
        name = "the teacher" if len(teachers) == 1 else f"{len(teachers)} teachers"
        costs += _accounted(f"training {name} (accurate labels alone)", _trained(store, model, teachers), "training")
    others = {*compared, *([scratch.model_id] if scratch else [])} - {*teachers, card.model_id}
    return [*costs, *_compared(store, model, others)]


def _round_costs(
    store: Store,
    model: str,
    rounds: Sequence[RoundRecord],
    compared: Collection[str],
    explored: Usage,
) -> list[Cost]:
    """Costs of training, committees, exploration and models for comparison.

    Args:
        explored: from the account; without one, the cost is taken from the records of the rounds.
    """
    training = sum(found.core_seconds.training for found in rounds)
    exploration = sum(found.core_seconds.exploration for found in rounds)
    trained = _trained(store, model, {i for found in rounds for i in found.models}) if explored.cpu else Usage()
    if explored.cpu and all(found.committee is not None for found in rounds):
        members = _trained(store, model, {i for found in rounds for i in found.committee or ()})
        members.add_earlier(explored.wall, explored.cpu, explored.gpu)
        exploration, explored = members.cpu, members
    # Teachers of rounds are already counted.
    others = {*compared}.difference(*(found.models for found in rounds))
    name = f"training in {count(len(rounds), 'round')}"
    return [
        Cost(name, training, "training", gpu_seconds=trained.gpu),
        Cost("committees and exploration", exploration, "exploration", gpu_seconds=explored.gpu),
        *_compared(store, model, others),
    ]


def _compared(store: Store, model: str, others: Collection[str]) -> list[Cost]:
    """Training of the models for comparison."""
    if not others:
        return []
    used = _trained(store, model, others)
    return [Cost(f"training {count(len(others), 'model')} for comparison", used.cpu, "training", True, used.gpu)]


def _trained(store: Store, model: str, ids: Collection[str]) -> Usage:
    """Usage of trainings from the model cards; earlier versions stored wall time and no GPU time."""
    used = Usage()
    for model_id in sorted(ids):
        card = read_card(store, model, model_id)
        used.add_earlier(0.0, card.core_seconds, card.gpu_seconds)
    return used


def _of_frames(attempts: pa.Table, ids: Collection[str]) -> pa.Table:
    return attempts.filter(pc.is_in(attempts["frame_id"], value_set=pa.array(sorted(ids), pa.string())))


def _kind(attempts: pa.Table) -> str:
    """A remark if the labels are energies alone, which cost less than forces."""
    ok = attempts.filter(pc.equal(attempts["status"], "ok"))
    return " (energies only)" if ok.num_rows and ok["forces"].null_count == ok.num_rows else ""


def _core_seconds(table: pa.Table) -> float:
    return float(core_seconds(table).sum())
