"""Orders the stages of every molecule of a manifest.

Molecules go their ways side by side, and one that fails does not stop the others. Nothing is computed here: the store
says what is missing and a :class:`~flows.site.Site` has it done, so running it again on the same store goes on where
things stand.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from asteroid import stages
from asteroid.errors import AsteroidError, StoreError
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.labels import label_and_train
from flows.rounds import run_rounds
from flows.site import Site

log = logging.getLogger(__name__)


async def run_molecules(store: Store, molecules: Sequence[MoleculeSettings], site: Site) -> list[dict[str, Any]]:
    """Every stage of these molecules, then the index of reports.

    Returns:
        One outcome a molecule: of :func:`asteroid.stages.outcome`, or, of one that could not be finished, ``molecule``,
        ``passed`` (False) and ``failure``, the reason in a line.
    """
    log.info("%d %s, store %s", len(molecules), "molecule" if len(molecules) == 1 else "molecules", store.location(""))
    ended = await asyncio.gather(
        *(run_molecule(store, molecule, site) for molecule in molecules), return_exceptions=True
    )
    outcomes = [
        _failure(molecule.name, outcome) if isinstance(outcome, BaseException) else outcome
        for molecule, outcome in zip(molecules, ended, strict=True)
    ]
    if not all("failure" in outcome for outcome in outcomes):
        await _write_index(store)
    return outcomes


def _failure(name: str, error: BaseException) -> dict[str, Any]:
    reason = " ".join(str(error).split())
    if not isinstance(error, AsteroidError):
        log.error("%s: a fault of asteroid", name, exc_info=error)
        reason = f"{type(error).__name__}: {reason}"
    return {"molecule": name, "passed": False, "failure": reason.removeprefix(f"{name}: ")}


async def _write_index(store: Store) -> None:
    """Renew the page that lists all molecules; outcomes do not depend on it."""
    from asteroid.report.index import write_index

    try:
        await asyncio.to_thread(write_index, store)
    except StoreError as error:
        log.warning("the index of reports is not renewed: %s", error)


async def run_molecule(store: Store, molecule: MoleculeSettings, site: Site) -> dict[str, Any]:
    """All stages of one molecule, each only as far as the store lacks its result."""
    await site.sample(store, molecule)
    while True:
        settings = molecule if molecule.acquisition is None else await run_rounds(store, molecule, site)
        models = await label_and_train(store, settings, site)
        await gather_evidence(store, settings, site, models)
        if not await asyncio.to_thread(stages.is_certified, store, settings):
            await site.certify(store, settings)
        if molecule.acquisition is None or not await another_round(store, molecule):
            outcome = await asyncio.to_thread(stages.outcome, store, settings, models)
            await site.show_outcome(store, settings, outcome)
            return outcome


async def another_round(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether a failed certificate has ordered a further round of labels."""
    verdict = await asyncio.to_thread(stages.order_round, store, molecule)
    log.info("%s: %s", molecule.name, verdict.reason)
    return verdict.further


async def gather_evidence(store: Store, molecule: MoleculeSettings, site: Site, models: stages.Models) -> None:
    """Accurate labels that the certificate asks for: of the model's own MD, torsions, minimum and vibrations."""
    if await asyncio.to_thread(stages.read_asked, store, molecule, models.final) is None:
        await site.propose(store, molecule)
    for step in range(stages.MINIMUM_LABELS):
        if not await compare_minima(store, molecule, models):
            break
        # What the model's own MD asked for is pending as well, and labelled with the first of these.
        await site.label(store, molecule, molecule.accurate, occasion=f"minimum-{models.final}-{step}")
    await asyncio.to_thread(stages.propose_hessian, store, molecule, models.final)
    forces = molecule.label_settings(molecule.accurate).forces
    if await asyncio.to_thread(store.pending, molecule.name, molecule.accurate, forces=forces):
        await site.label(store, molecule, molecule.accurate, occasion=f"evidence-{models.final}")
    await site.calculate(store, molecule, "hessian")


async def compare_minima(store: Store, molecule: MoleculeSettings, models: stages.Models) -> bool:
    """Ask for the next accurate label on the way to the accurate minimum; whether one is pending."""
    return await asyncio.to_thread(stages.propose_minimum, store, molecule, models.final)
