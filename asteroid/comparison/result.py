"""Result of one cell of a comparison: errors and cost of one variant, number of labels and seed.

Written to the store by :mod:`asteroid.comparison.cell`, evaluated by :mod:`asteroid.comparison.statistics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field

from asteroid.comparison.plan import Cell, ComparisonSettings
from asteroid.store import records


@dataclass(frozen=True)
class Result:
    """Errors and cost of one model, or the reason why there is none.

    Args:
        variant: training strategy; ``arm`` in JSON.
        n_accurate: accurate labels, including those held out for early stopping.
        force_mae, force_rmse: eV/Å, over all components of test frames with forces; None when none has forces.
        energy_mae, energy_rmse: eV, of total energies on all test frames.
        label_core_hours, training_core_hours: of this model and its teachers. Test labels and sampling, which all
            variants share, are not counted.
        seconds: wall time of the training, teachers included.
        cheap_labels: number of cheap training labels.
        needs: level of theory that a Δ-model must be added to; None for other models.
        reason: why there is no model; errors and cost are then None.
        force_groups: sum of absolute errors and number of components, for each group of test frames with forces.
        energy_groups: the same for energies, for each group of test frames.
        diagnostics: of bias and weights, plain JSON values: figures of the page, whose keys differ from strategy to
            strategy; see :mod:`asteroid.training.diagnostics`.
    """

    molecule: str
    cheap: str
    accurate: str
    variant: Annotated[str, Field(alias="arm")]
    n_accurate: int
    seed: int
    force_mae: float | None = None
    force_rmse: float | None = None
    energy_mae: float | None = None
    energy_rmse: float | None = None
    label_core_hours: float | None = None
    training_core_hours: float | None = None
    seconds: float | None = None
    cheap_labels: int | None = None
    model_id: str | None = None
    needs: str | None = None
    reason: str | None = None
    force_groups: tuple[tuple[float, int], ...] = ()
    energy_groups: tuple[tuple[float, int], ...] = ()
    diagnostics: Mapping[str, Any] | None = None

    @classmethod
    def blank(cls, settings: ComparisonSettings, cell: Cell) -> Self:
        """Of a cell that gave no model yet."""
        levels = str(settings.cheap), str(settings.accurate)
        return cls(settings.molecule, *levels, cell.variant, cell.n_accurate, cell.seed)

    @property
    def ok(self) -> bool:
        return self.reason is None

    @property
    def core_hours(self) -> float | None:
        """Labels and training together."""
        if self.label_core_hours is None or self.training_core_hours is None:
            return None
        return self.label_core_hours + self.training_core_hours

    def to_row(self) -> dict[str, Any]:
        """Single values for the JSON of ``asteroid compare``."""
        row = {name: value for name, value in records.to_json(self).items() if name not in _KEPT}
        return row | {"core_hours": self.core_hours}


_KEPT = ("force_groups", "energy_groups", "diagnostics")
"""Fields that :meth:`Result.to_row` leaves out."""
