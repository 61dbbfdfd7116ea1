"""Artifacts of the current flow run: progress, pages that renew themselves, and copies of reports for browsers.

If the server is not reachable, the work continues, and the log names the missing artifact.
"""

import datetime as dt
import hashlib
import logging
import os
import re
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType
from prefect.exceptions import PrefectException

from asteroid.naming import digest
from asteroid.store import Store

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 10.0
"""Between two updates of a run's progress; each takes some 50 ms of CPU of run and server."""


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
    """The progress of a run's steps, on the page of the run; a :data:`asteroid.pipeline.progress.Show`.

    It has no key, with which each step would be an entry in the list of all artifacts. A run of a few seconds has none.
    """

    def __init__(self) -> None:
        self._artifact: Any = None
        self._shown = ""
        self._sent = time.monotonic()

    async def __call__(self, title: str, note: str, done: int, total: int) -> None:
        description = f"{title}: {f'{note}, ' if note else ''}{done} of {total}"
        if not total or description == self._shown:
            return
        ended = done == total and self._artifact is not None
        if time.monotonic() - self._sent < PROGRESS_SECONDS and not ended:
            return
        self._sent, self._shown = time.monotonic(), description
        percent = 100.0 * done / total
        if self._artifact is None:
            self._artifact = await tolerantly(title, acreate_progress_artifact(percent, description=description))
        else:
            await tolerantly(title, aupdate_progress_artifact(self._artifact, percent, description=description))


async def read_progress(run: UUID) -> str:
    """What the :class:`ProgressArtifact` of another flow run shows; "" without one, or without an answer."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]), type=ArtifactFilterType(any_=["progress"]))
    try:
        async with get_client() as client:
            found = await client.read_artifacts(artifact_filter=wanted, limit=1)
    except (PrefectException, httpx.HTTPError):
        return ""
    return (found[0].description or "") if found else ""


class Page:
    """A page in Prefect's list of artifacts that renews itself: always one artifact, whatever it shows.

    Args:
        key: of :func:`artifact_key`.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._shown: tuple[str, str] | None = None
        self._artifact: UUID | None = None

    async def show(self, text: str, summary: str) -> None:
        """Show Markdown, and in the list one line, below the time; nothing is sent if neither has changed."""
        if (text, summary) == self._shown:
            return
        dated = f"At {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC.\n\n{text}"
        if self._artifact is None:
            sent = acreate_markdown_artifact(dated, key=self._key, description=summary)
            self._artifact = await tolerantly(self._key, sent)
        else:
            await tolerantly(self._key, _update(self._artifact, dated, summary))
        self._shown = text, summary


async def _update(artifact: UUID, text: str, summary: str) -> None:
    async with get_client() as client:
        await client.update_artifact(artifact, ArtifactUpdate(data=text, description=summary))


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


async def tolerantly(title: str, call: Awaitable[Any]) -> Any:
    """The result of a call to the server; None, and a line in the log, where it does not answer."""
    try:
        return await call
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("%s: not shown in Prefect: %s", title, " ".join(str(error).split()))
