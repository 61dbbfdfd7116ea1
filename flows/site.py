"""Where stages run: on this machine (:class:`LocalSite`), or as flow runs on work pools (:mod:`flows.pools`).

A :class:`Site` runs one stage and returns when the store holds its result.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages import Calculation, Step, lacks_calculation, round_model, trained_models
from asteroid.store import Store
from flows import steps
from flows.progress import Show, show_nothing

ATTEMPTS = 3
"""How often a training is repeated whose labels have changed; and a lost flow run, for each run of the parent."""


class Site(ABC):
    """Runs stages, and shows results to people where it has a page for them."""

    @abstractmethod
    async def sample(self, store: Store, molecule: MoleculeSettings) -> None: ...

    @abstractmethod
    async def label(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, *, occasion: str) -> None: ...

    @abstractmethod
    async def calculate(self, store: Store, molecule: MoleculeSettings, which: Calculation) -> None: ...

    @abstractmethod
    async def train(self, store: Store, molecule: MoleculeSettings, *, baseline: bool = True) -> None: ...

    @abstractmethod
    async def explore(self, store: Store, molecule: MoleculeSettings, step: Step, number: int) -> None: ...

    @abstractmethod
    async def propose(self, store: Store, molecule: MoleculeSettings) -> None: ...

    @abstractmethod
    async def certify(self, store: Store, molecule: MoleculeSettings) -> None: ...

    async def show_labels(  # noqa: B027 (nothing, where there is no page)
        self, store: Store, molecule: MoleculeSettings
    ) -> None:
        """Show how many labels a molecule has and what they cost."""

    async def show_rounds(  # noqa: B027
        self, molecule: MoleculeSettings, rounds: Sequence[dict[str, Any]], stop: str | None = None
    ) -> None:
        """Show the rounds of a molecule so far, and why they ended."""

    async def show_outcome(  # noqa: B027 (nothing, where there is no page)
        self, store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]
    ) -> None:
        """Show the certificate of a molecule's model, and where its report is."""


@dataclass
class LocalSite(Site):
    """Everything in this process and its children. Labelling stages follow one another, each on all cores.

    Args:
        show: told how far each stage is.
    """

    show: Show = show_nothing
    labelling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    training: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(steps.cores()))

    async def sample(self, store: Store, molecule: MoleculeSettings) -> None:
        async with self.labelling:
            await steps.sample(store, molecule, show=self.show)

    async def label(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, *, occasion: str) -> None:
        forces = molecule.label_settings(level).forces
        wanted = set(store.pending(molecule.name, level, forces=forces))
        async with self.labelling:
            await steps.label(store, molecule, level, show=self.show)
        # What another pipeline has asked for meanwhile is that one's work.
        if wanted.intersection(store.pending(molecule.name, level, forces=forces)):
            raise AsteroidError(f"{molecule.name}: {level} labels are missing after their stage; run again to go on")

    async def calculate(self, store: Store, molecule: MoleculeSettings, which: Calculation) -> None:
        if lacks_calculation(store, molecule, which):
            async with self.labelling:
                await steps.calculate(store, molecule, which, show=self.show)

    async def train(self, store: Store, molecule: MoleculeSettings, *, baseline: bool = True) -> None:
        for _ in range(ATTEMPTS):
            async with self.training:
                await steps.train(store, molecule, baseline, show=self.show)
            # Labels may have come or been withdrawn while it trained.
            if is_trained(store, molecule, baseline):
                break

    async def explore(self, store: Store, molecule: MoleculeSettings, step: Step, number: int) -> None:
        async with self.training:
            await steps.explore(store, molecule, step, show=self.show)

    async def propose(self, store: Store, molecule: MoleculeSettings) -> None:
        async with self.training:
            await steps.propose(store, molecule, show=self.show)

    async def certify(self, store: Store, molecule: MoleculeSettings) -> None:
        async with self.training:
            await steps.certify(store, molecule, show=self.show)


def is_trained(store: Store, molecule: MoleculeSettings, baseline: bool) -> bool:
    """Whether a training has left what it was to make of the labels now in the store."""
    return (trained_models if baseline else round_model)(store, molecule) is not None
