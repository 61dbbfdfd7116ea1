"""Artifacts of the current flow run: progress, label counts and cost, rounds, certificates, links to reports.

If the server is not reachable, the work continues, and the log names the missing artifact.
"""

import asyncio
import datetime as dt
import hashlib
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from prefect.artifacts import (
    Artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.exceptions import PrefectException

from asteroid.errors import StoreError
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.stages.kept_quotes import find_quote
from asteroid.store import Store, paths
from asteroid.store.locks import held_locks
from asteroid.store.round_records import RoundRecord
from flows.markdown import campaign_markdown, certificate_markdown, rounds_markdown

log = logging.getLogger(__name__)

RENEWAL_SECONDS = 60.0
"""Between two renewals of the page of all molecules."""


def artifact_key(*words: str) -> str:
    """A key that Prefect accepts: lower-case letters, digits and single dashes.

    A hash is appended if other characters were replaced, so that keys stay unique.

    >>> artifact_key("labels", "water")
    'labels-water'
    >>> artifact_key("labels", "My_Molecule")
    'labels-my-molecule-d8fb9b15'
    """
    key = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    return key if all(re.fullmatch("[a-z0-9]+", word) for word in words) else f"{key}-{digest(words)[:8]}"


class ProgressArtifact:
    """Shows the progress of one step in the UI; a :data:`asteroid.pipeline.progress.Show`."""

    def __init__(self) -> None:
        self._artifact: Any = None
        self._shown = ""

    async def __call__(self, title: str, note: str, done: int, total: int) -> None:
        description = f"{title}: {f'{note}, ' if note else ''}{done} of {total}"
        if not total or description == self._shown:
            return
        self._shown = description
        percent = 100.0 * done / total
        if self._artifact is None:
            key = artifact_key("progress", title)
            created = acreate_progress_artifact(percent, key=key, description=description)
            self._artifact = await _tolerantly(title, created)
        else:
            await _tolerantly(title, aupdate_progress_artifact(self._artifact, percent, description=description))


def progress_of(title: str) -> Callable[[], Awaitable[str]]:
    """Reads the :class:`ProgressArtifact` of another flow run; "" without one, or without an answer."""

    async def read() -> str:
        try:
            found = await Artifact.aget(artifact_key("progress", title))
        except (PrefectException, httpx.HTTPError):
            return ""
        return (found.description or "") if found else ""

    return read


async def show_labels(store: Store, molecule: MoleculeSettings) -> None:
    """Table of a molecule's labels and their cost."""
    rows = await asyncio.to_thread(store.status, molecule.name)
    table = acreate_table_artifact(
        [{**row, "core_hours": round(row["core_hours"], 4)} for row in rows],
        key=artifact_key("labels", molecule.name),
        description=f"Labels of {molecule.name} and their cost",
    )
    await _tolerantly(molecule.name, table)


@asynccontextmanager
async def campaign(store: Store, molecules: Sequence[MoleculeSettings]) -> AsyncIterator[None]:
    """Renew a page of all molecules while the block runs, and once at its end."""

    def page() -> str:
        rows = [row for molecule in molecules for row in store.status(molecule.name)]
        return campaign_markdown(rows, held_locks(store), dt.datetime.now(dt.UTC), quoted=_quoted(store, molecules))

    async def show() -> None:
        try:
            text = await asyncio.to_thread(page)
        except StoreError as error:
            # A store that does not answer for a moment concerns only the work itself.
            log.warning("the page of all molecules was not renewed: %s", error)
            return
        made = acreate_markdown_artifact(text, key="campaign", description="Labels, cost and work under way")
        await _tolerantly("all molecules", made)

    async def renew() -> None:
        while True:
            began = time.monotonic()
            await show()
            # Of a large store, the page may take a while to make: at most a twentieth of the time.
            await asyncio.sleep(max(RENEWAL_SECONDS, 20 * (time.monotonic() - began)))

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
    await show()


def _quoted(store: Store, molecules: Sequence[MoleculeSettings]) -> float | None:
    """Core-hours for the labels of all molecules, as quoted before they began."""
    quotes = [find_quote(store, molecule) for molecule in molecules]
    lines = [line for quote in quotes if quote is not None for line in quote.lines if line.labels]
    return None if None in quotes else sum(line.core_seconds + line.spent_core_seconds for line in lines) / 3600


async def show_rounds(molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None) -> None:
    """Table of the rounds: picked frames, cost, errors and decisions."""
    page = acreate_markdown_artifact(
        rounds_markdown(molecule.name, rounds, stop),
        key=artifact_key("rounds", molecule.name),
        description=f"Rounds of accurate labels of {molecule.name}",
    )
    await _tolerantly(molecule.name, page)


async def show_outcome(store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]) -> None:
    """The certificate with its plots, and a link to the report."""
    await show_labels(store, molecule)
    page = acreate_markdown_artifact(
        await asyncio.to_thread(certificate_markdown, store, molecule, outcome),
        key=artifact_key("certificate", molecule.name),
        description=f"How good the model of {molecule.name} is",
    )
    await _tolerantly(molecule.name, page)
    url = await asyncio.to_thread(publish, store, outcome["report_path"])
    if url is not None:
        for linked in (outcome["certificate_path"], paths.REPORT_INDEX):
            await asyncio.to_thread(publish, store, linked)
        link = acreate_link_artifact(
            url,
            link_text=f"Report of {molecule.name}",
            key=artifact_key("report", molecule.name),
            description="Errors, plots, cost, and how far to trust the model",
        )
        await _tolerantly(molecule.name, link)


def publish(store: Store, path: str) -> str | None:
    """Copy a report, or a file that it links to, to the folder of the file server; returns its URL.

    Browsers open neither ``file://`` nor ``s3://`` links on Prefect's pages. ``ASTEROID_REPORTS`` is the folder for
    copies, ``ASTEROID_REPORTS_URL`` its URL. None if these are not set; the certificate has the path of the report.
    """
    folder, url = os.environ.get("ASTEROID_REPORTS"), os.environ.get("ASTEROID_REPORTS_URL")
    if not folder or not url:
        return None
    place = store.location("").rstrip("/")
    name = (
        f"{place.rpartition('/')[2]}-{hashlib.sha256(place.encode()).hexdigest()[:8]}/{path.removeprefix('reports/')}"
    )
    try:
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        Path(folder, name).write_bytes(store.read(path))
    except OSError as error:
        log.warning("the report cannot be copied to %s: %s", folder, error)
        return None
    return f"{url.rstrip('/')}/{quote(name)}"


async def _tolerantly(title: str, call: Awaitable[Any]) -> Any:
    try:
        return await call
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("%s: not shown in Prefect: %s", title, " ".join(str(error).split()))
