"""The flow ``asteroid``, deployed as ``asteroid/full-pipeline``: :mod:`asteroid.pipeline` on work pools."""

from typing import Any

from prefect import State, flow, runtime
from prefect.states import Failed

from asteroid import stages
from asteroid.errors import AsteroidError
from asteroid.pipeline.order import run_molecules
from asteroid.store import Store
from flows.pages import Pages
from flows.pools import PoolRunner


@flow(name="asteroid", flow_run_name="{manifest}")
async def asteroid(
    manifest: str = "manifests/demo.yaml", store: str | None = None
) -> list[dict[str, Any]] | State[list[dict[str, Any]]]:
    """From a manifest to certified models: sample, label, train, validate, report.

    Args:
        manifest: path of a YAML file on the workers.
        store: folder or URL; the manifest's own when not given.

    Returns:
        One outcome per molecule: name, whether its certificate passed, errors, and paths of model and report. If a
        molecule failed, the flow run fails with the reason as its message.
    """
    try:
        loaded = stages.load_checked(manifest)
        where = Store(store or loaded.store)
    except AsteroidError as error:
        return Failed(message=str(error))
    pages = Pages(where, loaded.molecules)
    runner = PoolRunner(where, str(runtime.flow_run.id), int(runtime.flow_run.run_count or 1), pages)
    async with pages.renewed():
        outcomes = await run_molecules(where, loaded.molecules, runner)
        for outcome in outcomes:
            if "failure" in outcome:
                pages.failed(outcome["molecule"], outcome["failure"])
    failures = [f"{outcome['molecule']}: {outcome['failure']}" for outcome in outcomes if "failure" in outcome]
    return Failed(data=outcomes, message="; ".join(failures)) if failures else outcomes
