"""Train and test one cell of a comparison in its own process, and store the result.

:mod:`asteroid.comparison.run` starts these processes and names the file. Torch is imported inside the functions.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from asteroid.comparison.plan import Cell, ComparisonSettings
from asteroid.comparison.result import Result
from asteroid.configuration import Frame
from asteroid.data.training_set import TrainingSet
from asteroid.errors import TrainingError
from asteroid.levels import LevelOfTheory
from asteroid.naming import digest
from asteroid.processes import Progress
from asteroid.stages.common import import_mace
from asteroid.store import Store, records
from asteroid.store.locks import lock
from asteroid.store.models import Card, read_card
from asteroid.store.rows import core_seconds
from asteroid.strategies import BASELINE, strategy_named
from asteroid.training.held_out import HeldOut


def run_cell(
    store_url: str,
    settings: ComparisonSettings,
    cell: Cell,
    test: Sequence[str],
    path: str,
    *,
    on_progress: Progress,
) -> Result:
    """The result of a cell; read from the store if another process has stored it in the meantime.

    A training that the data does not allow gives a result with a reason; any other failure raises.

    Args:
        test: ids of the test frames.
        path: of the result in the store.
    """
    # The parent can stop this process only when it reports progress, so it reports before anything slow.
    on_progress("starting", 0, 0)
    store = Store(store_url)
    with lock(store, _work(settings, cell), on_wait=lambda: on_progress("waiting for another training", 0, 0)):
        if not store.exists(path):
            records.write(store, path, _compute(store, settings, cell, test, on_progress))
        return records.read(store, Result, path)


def _work(settings: ComparisonSettings, cell: Cell) -> str:
    """Name of the lock of a cell; shared with ``scratch`` by strategies that train its model as their teacher."""
    kind = "teacher" if cell.variant == BASELINE or strategy_named(cell.variant).needs_teacher else cell.variant
    levels = [str(settings.cheap), str(settings.accurate)]
    return f"comparison {settings.molecule} {kind} {digest([levels, cell.seed, cell.train, cell.valid])}"


def _compute(
    store: Store, settings: ComparisonSettings, cell: Cell, test: Sequence[str], on_progress: Progress
) -> Result:
    import_mace()
    from asteroid.comparison.evaluate import measure
    from asteroid.training.run import train_model

    def note(stage: str, step: int, steps: int, held_out: HeldOut | None) -> None:
        on_progress(stage, step, steps)

    blank = Result.blank(settings, cell)
    try:
        card = train_model(
            store,
            settings.molecule,
            TrainingSet.of_molecule(
                settings.molecule,
                cheap=settings.cheap,
                accurate=settings.accurate,
                train=cell.train,
                valid=cell.valid,
                cheap_frames=cell.cheap,
                between=tuple(LevelOfTheory.parse(level, imported=True) for level in settings.training.ladder),
            ),
            strategy=cell.variant,
            settings=settings.training.model_copy(update={"strategy": cell.variant, "seed": cell.seed}),
            on_progress=note,
        )
    except TrainingError as error:
        return dataclasses.replace(blank, reason=str(error))
    on_progress("judging", 0, 0)
    frames = store.frames(settings.molecule, ids=test)
    device = settings.training.device
    errors = vars(measure(store, card, frames, device=device))
    parents = [read_card(store, settings.molecule, i) for i in card.parents.values()]
    levels = _labels_used(store, settings, cell, card)
    return dataclasses.replace(
        blank,
        **errors,
        model_id=card.model_id,
        needs=card.adds_to,
        cheap_labels=len(levels.get(str(settings.cheap), ())),
        label_core_hours=_core_hours(store, settings.molecule, levels),
        training_core_hours=sum(each.core_seconds for each in (card, *parents)) / 3600,
        seconds=sum(sum(each.seconds.values()) for each in (card, *parents)),
        diagnostics=_diagnose(store, card, frames, device),
    )


def _labels_used(store: Store, settings: ComparisonSettings, cell: Cell, card: Card) -> dict[str, set[str]]:
    """Frame ids of the labels that a model learnt from, by level."""
    accurate = {*cell.train, *cell.valid}
    levels = {str(settings.accurate): accurate}
    strategy = strategy_named(cell.variant)
    # Of cheap frames, some strategies read the geometries alone.
    if card.cheap is None or not strategy.reads_cheap_labels:
        return levels
    cheap = set(cell.cheap) if card.frames.cheap else set()
    levels[card.cheap] = cheap | (accurate if card.frames.paired else set())
    # A model whose strategy reads no ladder has an empty one, or one that it did not read.
    if "ladder" in strategy.reads:
        for between in settings.training.ladder:
            there = store.labels(settings.molecule, LevelOfTheory.parse(between, imported=True))
            levels[between] = {i for i in (*cell.train, *cell.cheap) if i in there}
    return levels


def _core_hours(store: Store, molecule: str, labels: Mapping[str, set[str]]) -> float:
    """Core-hours of labels, from the mean of each level in the ledger; attempts without a label are included.

    Args:
        labels: frame ids by level; labels of a composite level are those of its parts, each counted once.
    """
    computed: dict[LevelOfTheory, set[str]] = {}
    for name, ids in labels.items():
        for level in LevelOfTheory.parse(name, imported=True).computed:
            computed[level] = computed.get(level, set()) | ids
    seconds = 0.0
    for level, ids in computed.items():
        accepted: int = store.label_table(molecule, level).num_rows
        seconds += len(ids) * float(core_seconds(store.attempts(molecule, level)).sum()) / max(accepted, 1)
    return seconds / 3600


def _diagnose(store: Store, card: Card, frames: Sequence[Frame], device: str) -> dict[str, Any] | None:
    """Of a model that was weighted; its teacher is asked about the test frames, which it never met."""
    if card.weights is None:
        return None
    from asteroid.comparison.evaluate import mean_forces
    from asteroid.training.diagnostics import bias_diagnostics

    teachers = card.teachers
    forces = mean_forces(store, card.molecule, teachers, frames, device=device) if teachers else None
    return bias_diagnostics(store, card.molecule, card, teacher_forces=forces)
