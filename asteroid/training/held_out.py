"""Errors on the held-out accurate frames, for early stopping and the choice of weights.

:mod:`asteroid.training.fit` measures them. Without torch, for use in flows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldOut:
    """Mean absolute errors on held-out frames.

    Args:
        force_mae: eV/Å, per component, over the frames that have forces; None when none has.
        energy_mae: eV/atom, relative to the reference energies of the accurate level.
    """

    force_mae: float | None
    energy_mae: float

    @property
    def criterion(self) -> float:
        """Error for early stopping: the force error where there is one, else the energy error."""
        return self.energy_mae if self.force_mae is None else self.force_mae

    def __str__(self) -> str:
        """For messages.

        >>> str(HeldOut(0.0321, 0.002)), str(HeldOut(None, 0.00205))
        ('held-out force MAE 32.1 meV/Å', 'held-out energy MAE 2.05 meV/atom')
        """
        if self.force_mae is None:
            return f"held-out energy MAE {1000 * self.energy_mae:.3g} meV/atom"
        return f"held-out force MAE {1000 * self.force_mae:.1f} meV/Å"
