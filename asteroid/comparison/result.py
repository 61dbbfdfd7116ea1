"""What one cell of a comparison came to: the errors and the cost of one strategy, number of labels and seed.

:mod:`asteroid.comparison.cell` makes them and the store keeps them; :mod:`asteroid.comparison.statistics` reads them.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Result:
    """One strategy trained with one number of accurate labels and one seed, or the reason why it could not be.

    Args:
        n_accurate: accurate labels, those that stop the training included.
        force_mae, force_rmse: eV/Å, over the components on test frames that have forces; None when none has.
        energy_mae, energy_rmse: eV, of total energies on all test frames.
        label_core_hours, training_core_hours: what this model took, its teachers included. Labels that judge are not
            counted, and neither is sampling, which all arms share.
        seconds: wall time of the training, its teachers included.
        cheap_labels: how many it learnt from.
        needs: the level of theory that must be computed whenever the model is used; None for a model that stands alone.
        reason: why there is no model; the figures are then None.
        force_groups: of each group of test frames with forces, the sum of absolute errors and the number of components.
        energy_groups: of each group of test frames, the same for energies.
        diagnostics: of the bias and the weights, as :mod:`asteroid.training.diagnostics` describes them.
    """

    molecule: str
    cheap: str
    accurate: str
    arm: str
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
        """What others read of it: plain values, one number each."""
        row = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in _KEPT}
        return row | {"core_hours": self.core_hours}

    def to_json(self) -> dict[str, Any]:
        """Everything, for the store."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        groups = {name: tuple((total, count) for total, count in content[name]) for name in _GROUPS}
        return cls(**{**content, **groups})


_GROUPS = ("force_groups", "energy_groups")
_KEPT = (*_GROUPS, "diagnostics")
"""Of use to a comparison alone."""
