"""The loop of rounds of one molecule: label, train, record; explore, pick, and again.

Which step is next follows from the store (:mod:`asteroid.stages.rounds`), so a run that was killed anywhere goes on
there, and one with a larger budget where the last one stopped. After it, :mod:`flows.full_pipeline` goes on with the
settings of the last round.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from asteroid import stages
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.labels import label_chosen, label_missing, select
from flows.progress import artifact_key
from flows.site import LocalSite, PoolSite

log = logging.getLogger(__name__)


async def run_rounds(store: Store, molecule: MoleculeSettings, site: LocalSite | PoolSite) -> MoleculeSettings:
    """Run rounds until the target, a budget or too small a gain ends them; the settings of the last one."""
    while True:
        state = await asyncio.to_thread(stages.next_round, store, molecule)
        if not state.picked and not state.stop:
            state = await _pick(store, molecule, site, state)
        if state.stop:
            log.info("%s: %d rounds; %s", molecule.name, state.number, state.stop)
            await show_rounds(store, molecule, state.stop)
            return state.settings
        await asyncio.to_thread(stages.extend_selection, store, molecule, state.number)
        await label_chosen(store, state.settings, site, occasion=f"round-{state.number}-")
        if await asyncio.to_thread(stages.round_model, store, state.settings) is None:
            await site.train(store, state.settings, baseline=False)
        await site.explore(store, molecule, "record", state.number)
        await show_rounds(store, molecule)


async def _pick(
    store: Store, molecule: MoleculeSettings, site: LocalSite | PoolSite, state: stages.NextRound
) -> stages.NextRound:
    """Find out which labels the next round buys: the last model explores and picks them."""
    if state.number == 0:
        if stages.acquisition(molecule).core_hours is not None:
            # A few labels tell what one costs, and with it how many can be paid for.
            await label_chosen(store, state.settings, site, occasion="first-")
        await asyncio.to_thread(stages.begin_rounds, store, molecule)
        return await asyncio.to_thread(stages.next_round, store, molecule)
    await site.explore(store, molecule, "explore", state.number)
    # What was found gets cheap labels before it is scored: they tell the bias, and they train.
    await select(store, state.settings)
    await label_missing(store, molecule, site, molecule.cheap, occasion=f"round-{state.number}-explored")
    await asyncio.to_thread(stages.review_explored, store, molecule)
    await site.calculate(store, state.settings, "energy-cost")
    await site.explore(store, molecule, "pick", state.number)
    picked = await asyncio.to_thread(stages.next_round, store, molecule)
    if picked.picked:
        return picked
    return stages.NextRound(state.number, state.settings, stop="no frame is left that could be labelled")


@task(task_run_name="{molecule.name}: rounds")
async def show_rounds(store: Store, molecule: MoleculeSettings, stop: str | None = None) -> None:
    """What each round picked, why, what it cost and what it brought, in the UI."""
    rounds = await asyncio.to_thread(stages.read_rounds, store, molecule)
    await acreate_markdown_artifact(
        rounds_markdown(molecule.name, rounds, stop),
        key=artifact_key("rounds", molecule.name),
        description=f"Rounds of accurate labels of {molecule.name}",
    )


def rounds_markdown(name: str, rounds: Sequence[Mapping[str, Any]], stop: str | None = None) -> str:
    """A table of the rounds so far: what was picked, what it cost, errors before and after, and why it goes on or ends.

    Args:
        rounds: records of :mod:`asteroid.stages.rounds`.
        stop: why the loop has ended; None while it runs.
    """
    lines = [
        f"# {name}: {len(rounds)} rounds of accurate labels",
        "",
        "Force errors in meV/Å, with their 95 % intervals: of the model before on the labels that a round bought, and "
        "of the round's own model on held-out frames.",
        "",
        "| round | labels | picked | before, on fresh labels | after, on held-out frames | core-hours | decision |",
        "|---:|---:|---|---:|---:|---:|---|",
    ]
    for found in rounds:
        sources = Counter(frame["source"] for frame in found["picked"])
        picked = ", ".join(f"{count} from {source}" for source, count in sources.most_common())
        if (found.get("bought") or {}).get("kind") == "energies":
            picked += "; energies alone"
        if found.get("because"):
            picked += f" (the certificate before had failed in: {', '.join(found['because'])})"
        hours = sum(found["core_seconds"].values()) / 3600
        lines.append(
            f"| {found['round']} | {found['accurate_labels']} | {found['criterion']}: {picked} "
            f"| {_interval(found['fresh_error'])} | {_interval(found['held_out'])} | {hours:.3g} "
            f"| {found['decision']['reason']} |"
        )
    if stop:
        lines += ["", f"Ended: {stop}."]
    return "\n".join(lines)


def _interval(error: Mapping[str, float | None] | None) -> str:
    """A force MAE with its 95 % interval, in meV/Å."""
    if error is None:
        return "–"
    numbers = (error[key] for key in ("force_mae", "low", "high"))
    value, low, high = ("∞" if number is None else f"{1000 * number:.3g}" for number in numbers)
    return f"{value} ({low} to {high})"
