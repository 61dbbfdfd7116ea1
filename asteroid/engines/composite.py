"""Labels of composite levels at once, for single structures: each part is computed and the results are summed.

A campaign labels each part by itself instead, so that the store has every part once (:mod:`asteroid.stages.labels`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.engines import Labeller, Result
from asteroid.errors import LabelFailed
from asteroid.levels import LevelOfTheory


@dataclass(frozen=True)
class CompositeLabeller:
    """Computes a composite level.

    Args:
        labellers: of its parts, in their order.
    """

    level: LevelOfTheory
    labellers: tuple[Labeller, ...]

    @property
    def program(self) -> str:
        return _joined(labeller.program for labeller in self.labellers)

    @property
    def version(self) -> str:
        return _joined(labeller.version for labeller in self.labellers)

    @property
    def settings(self) -> str:
        return _joined(labeller.settings for labeller in self.labellers)

    def load(self) -> None:
        for labeller in self.labellers:
            labeller.load()

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        weights, results = [float(part.weight) for part in self.level.parts], list[Result]()
        for labeller in self.labellers:
            try:
                results.append(labeller.compute(configuration, forces=forces))
            except LabelFailed as error:
                raise LabelFailed(f"{labeller.level}: {error}", retry_steps=error.retry_steps) from None
        spins = [result.spin_square for result in results if result.spin_square is not None]
        checks = [result.check_error for result in results if result.check_error is not None]
        return Result(
            energy=sum(w * result.energy for w, result in zip(weights, results, strict=True)),
            forces=_summed(weights, [result.forces for result in results]),
            dipole=_summed(weights, [result.dipole for result in results]),
            spin_square=max(spins, default=None),
            retry_steps=max((result.retry_steps for result in results), key=len),
            check_error=max(checks, default=None),
        )


def _joined(words: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(words))


def _summed(
    weights: Sequence[float], vectors: Sequence[npt.NDArray[np.float64] | None]
) -> npt.NDArray[np.float64] | None:
    known = [w * vector for w, vector in zip(weights, vectors, strict=True) if vector is not None]
    return np.sum(known, axis=0) if len(known) == len(vectors) else None
