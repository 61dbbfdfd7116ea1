"""The loop of rounds of one molecule: label, train, record; explore, pick, and again.

Which step is next follows from the store (:mod:`asteroid.stages.rounds`), so a run that was killed anywhere goes on
there, and one with a larger budget where the last one stopped. After it, :mod:`flows.pipeline` goes on with the
settings of the last round.
"""

import asyncio
import logging

from asteroid import stages
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.labels import label_chosen, label_missing, select
from flows.site import Site

log = logging.getLogger(__name__)


async def run_rounds(store: Store, molecule: MoleculeSettings, site: Site) -> MoleculeSettings:
    """Run rounds until the target, a budget or too small a gain ends them; the settings of the last one."""
    while True:
        state = await asyncio.to_thread(stages.next_round, store, molecule)
        if not state.picked and not state.stop:
            state = await _pick(store, molecule, site, state)
        if state.stop:
            log.info("%s: %d rounds; %s", molecule.name, state.number, state.stop)
            await site.show_rounds(molecule, await asyncio.to_thread(stages.read_rounds, store, molecule), state.stop)
            return state.settings
        await asyncio.to_thread(stages.extend_selection, store, molecule, state.number)
        await label_chosen(store, state.settings, site, occasion=f"round-{state.number}-")
        if await asyncio.to_thread(stages.round_model, store, state.settings) is None:
            await site.train(store, state.settings, baseline=False)
        await site.explore(store, molecule, "record", state.number)
        await site.show_rounds(molecule, await asyncio.to_thread(stages.read_rounds, store, molecule))


async def _pick(store: Store, molecule: MoleculeSettings, site: Site, state: stages.NextRound) -> stages.NextRound:
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
