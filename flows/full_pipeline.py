"""The flow ``asteroid``, deployed as ``asteroid/full-pipeline``: orders the stages of every molecule of a manifest.

Molecules go their ways side by side, and one that fails does not stop the others. The flow itself computes nothing: it
asks the store what is missing and has a :class:`~flows.site.LocalSite` or :class:`~flows.site.PoolSite` do it, so
running it again on the same store goes on where things stand.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from asteroid import stages
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.artifacts import certificate_markdown
from flows.labels import label_and_train, show_labels
from flows.progress import artifact_key
from flows.rounds import run_rounds
from flows.site import LocalSite, PoolSite

# Not __name__: Prefect loads a deployed flow from its file, under a name of its own.
log = logging.getLogger("flows.full_pipeline")


@flow(name="asteroid", flow_run_name="{manifest}")
async def asteroid(manifest: str = "manifests/demo.yaml", store: str | None = None) -> list[dict[str, Any]]:
    """From a manifest to certified models: sample, label, train, validate, report.

    Args:
        manifest: path of a YAML file, as the workers see it.
        store: folder or URL; the manifest's own when not given.

    Returns:
        One outcome a molecule: name, whether its certificate was passed, errors, and where model and report lie.
    """
    loaded = stages.load_checked(manifest)
    where = Store(store or loaded.store)
    # A flow run that came from a deployment has work pools beside it; any other has only this machine.
    if runtime.deployment.id is not None:
        site: LocalSite | PoolSite = PoolSite(str(runtime.flow_run.id), int(runtime.flow_run.run_count or 1))
    else:
        site = LocalSite()
    log.info("%s: %d molecules, store %s", manifest, len(loaded.molecules), where.location(""))
    outcomes = await asyncio.gather(
        *(molecule_pipeline(where, molecule, site) for molecule in loaded.molecules), return_exceptions=True
    )
    failures = []
    for molecule, outcome in zip(loaded.molecules, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            log.error(
                "%s: %s", molecule.name, outcome, exc_info=None if isinstance(outcome, AsteroidError) else outcome
            )
            failures.append(f"{molecule.name}: {outcome}")
    await write_index(where)
    if failures:
        raise AsteroidError("; ".join(failures))
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


async def molecule_pipeline(store: Store, molecule: MoleculeSettings, site: LocalSite | PoolSite) -> dict[str, Any]:
    """All stages of one molecule, each only as far as the store lacks its result."""
    await site.sample(store, molecule)
    while True:
        settings = molecule if molecule.acquisition is None else await run_rounds(store, molecule, site)
        models = await label_and_train(store, settings, site)
        await gather_evidence(store, settings, site, models)
        if not await asyncio.to_thread(stages.is_certified, store, settings):
            await site.certify(store, settings)
        if molecule.acquisition is None or not await another_round(store, molecule):
            return await show_outcome(store, settings, models)


@task(task_run_name="{molecule.name}: another round")
async def another_round(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether a failed certificate has ordered a further round of labels."""
    verdict = await asyncio.to_thread(stages.order_round, store, molecule)
    log.info("%s: %s", molecule.name, verdict.reason)
    return verdict.further


async def gather_evidence(
    store: Store, molecule: MoleculeSettings, site: LocalSite | PoolSite, models: stages.Models
) -> None:
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


@task(task_run_name="{molecule.name}: compare minima")
async def compare_minima(store: Store, molecule: MoleculeSettings, models: stages.Models) -> bool:
    """Ask for the next accurate label on the way to the accurate minimum; whether one is pending."""
    return await asyncio.to_thread(stages.propose_minimum, store, molecule, models.final)


@task(task_run_name="{molecule.name}: outcome")
async def show_outcome(store: Store, molecule: MoleculeSettings, models: stages.Models) -> dict[str, Any]:
    """The certificate, its plots and a link to the report, in the UI."""
    outcome = await asyncio.to_thread(stages.outcome, store, molecule, models)
    await show_labels.fn(store, molecule)
    await acreate_markdown_artifact(
        await asyncio.to_thread(certificate_markdown, store, molecule, outcome),
        key=artifact_key("certificate", molecule.name),
        description=f"How good the model of {molecule.name} is",
    )
    await acreate_link_artifact(
        _link(store, outcome["report_path"]),
        link_text=f"Report of {molecule.name}",
        key=artifact_key("report", molecule.name),
        description="Errors, plots, cost, and how far to trust the model",
    )
    return outcome


@task(task_run_name="index of reports")
async def write_index(store: Store) -> None:
    """Renew the page that lists all molecules."""
    from asteroid.report.index import write_index as write

    await asyncio.to_thread(write, store)


def _link(store: Store, path: str) -> str:
    """Where a browser finds a file of the store.

    Browsers open no file:// link from Prefect's page, so where ``ASTEROID_STORE_URL`` serves this very store, it is
    used.
    """
    base, served = os.environ.get("ASTEROID_STORE_URL"), os.environ.get("ASTEROID_SERVED_STORE")
    if base and served and store.local_path("") == Path(served).resolve():
        return f"{base.rstrip('/')}/{path}"
    return store.location(path)
