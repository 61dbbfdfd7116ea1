"""Pages of a running pipeline in Prefect's UI: one of all molecules, and one of each, renewed every minute.

A molecule's page has what is at work, labels and their price, rounds, and at the end the certificate and the report.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from asteroid.errors import StoreError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages import price_of_labels
from asteroid.store import Store, paths
from asteroid.store.ledger import count_reasons
from asteroid.store.locks import held_locks
from asteroid.store.round_records import RoundRecord
from flows.artifacts import Page, artifact_key, publish
from flows.markdown import campaign_markdown, certificate_markdown, molecule_markdown, rounds_markdown

log = logging.getLogger(__name__)

RENEWAL_SECONDS = 60.0
"""Between two renewals of all pages."""
MOST_REASONS = 3
"""Of failures, for each molecule and level."""


class Pages:
    """The pages of one pipeline. What happens is reported by its methods and shown at the next renewal.

    Args:
        molecules: of the manifest.
    """

    def __init__(self, store: Store, molecules: Sequence[MoleculeSettings]) -> None:
        self._store = store
        self._molecules = {molecule.name: molecule for molecule in molecules}
        self._pages = {name: Page(artifact_key("molecule", name)) for name in self._molecules}
        self._campaign = Page("campaign")
        self._working: dict[str, Counter[str]] = {name: Counter() for name in self._molecules}
        self._progress: dict[str, str] = {}
        self._rounds: dict[str, str] = {}
        self._ends: dict[str, tuple[str, str]] = {}

    @contextmanager
    def working(self, molecule: str, title: str) -> Iterator[None]:
        """A step is ready or at work during the block."""
        self._working[molecule][title] += 1
        try:
            yield
        finally:
            self._working[molecule][title] -= 1
            self._progress.pop(title, None)

    def progress(self, title: str, text: str) -> None:
        """How far a step is, in one line."""
        self._progress[title] = text

    def rounds(self, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None) -> None:
        """The rounds of a molecule so far, and the reason for the end."""
        self._rounds[molecule.name] = rounds_markdown(molecule.name, rounds, stop)

    def outcome(self, molecule: MoleculeSettings, outcome: dict[str, Any]) -> None:
        """The certificate of a molecule's model, with a link to its report."""
        summary = "certified" if outcome["passed"] else f"NOT certified ({outcome['state']})"
        # The report links to the other two.
        url, *_ = (
            publish(self._store, path)
            for path in (outcome["report_path"], outcome["certificate_path"], paths.REPORT_INDEX)
        )
        text = certificate_markdown(self._store, molecule, outcome, report_url=url)
        self._ends[molecule.name] = summary, text

    def failed(self, molecule: str, reason: str) -> None:
        """The work on a molecule ended with an error."""
        self._ends[molecule] = "failed", f"**Failed**: {reason}"

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew the pages while the block runs, and once at its end."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
        await self._show()

    async def _renew(self) -> None:
        while True:
            began = time.monotonic()
            await self._show()
            # Of a large store, the pages may take a while to make: at most a twentieth of the time.
            await asyncio.sleep(max(RENEWAL_SECONDS, 20 * (time.monotonic() - began)))

    async def _show(self) -> None:
        # Read here: steps begin and end while the texts are made in a thread.
        steps = {name: self._steps(name) for name in self._molecules}
        try:
            texts = await asyncio.to_thread(self._texts, steps, dict(self._ends))
        except StoreError as error:
            # A store that does not answer for a moment concerns only the work itself.
            log.warning("the pages were not renewed: %s", error)
            return
        for page, text, summary in texts:
            await page.show(text, summary)

    def _steps(self, name: str) -> list[str]:
        """Steps of a molecule that are ready or at work, a line each."""
        titles = [title for title, number in self._working[name].items() if number]
        return [self._progress.get(title, title).removeprefix(f"{name}: ") for title in titles]

    def _reasons(self, row: dict[str, Any]) -> list[tuple[str, int]]:
        """Why labels at a level failed or were rejected, the most frequent first, each with its number."""
        level = LevelOfTheory.parse(row["level"], imported=True)
        return count_reasons(self._store.attempts(row["molecule"], level)).most_common(MOST_REASONS)

    def _texts(self, working: dict[str, list[str]], ended: dict[str, tuple[str, str]]) -> list[tuple[Page, str, str]]:
        """Each page with its text and its line in the list; none of molecules that have not begun."""
        rows, texts, prices = list[dict[str, Any]](), [], []
        for name, molecule in self._molecules.items():
            own = self._store.status(name)
            for row in own:
                row["reasons"] = self._reasons(row) if row["failed"] or row["rejected"] else []
            rows += own
            prices.append(price := price_of_labels(self._store, [molecule], own))
            steps = working[name]
            if not (own or steps or name in ended):
                continue
            state, end = ended.get(name, ("; ".join(steps) or "waits", ""))
            parts = molecule_markdown(own, price, steps), self._rounds.get(name, ""), end
            # What came out is above how it came about.
            text = "\n\n".join(part for part in (reversed(parts) if end else parts) if part)
            texts.append((self._pages[name], text, f"{name}: {state}"))
        quotes = [quoted for _, quoted in prices if quoted is not None]
        total = sum(spent for spent, _ in prices), sum(quotes) if len(quotes) == len(prices) else None
        counts = Counter(state.partition(" (")[0] for state, _ in ended.values())
        ends = ", ".join(f"{number} {state}" for state, number in counts.items())
        summary = f"{len(self._molecules)} molecules{f': {ends}' if ends else ''}"
        return [(self._campaign, campaign_markdown(rows, held_locks(self._store), price=total), summary), *texts]
