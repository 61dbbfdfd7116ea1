"""Phrases that several pages share: how a model was trained, its main error, numbers of things.

The words about a strategy come from its definition, so no page speaks of cheap labels that a model never used.
"""

from asteroid.store.models import Card
from asteroid.strategies import StrategyDefinition, strategy_named
from asteroid.validation.errors import Errors
from asteroid.validation.intervals import Estimate


def strategy_of(card: Card) -> StrategyDefinition:
    """The strategy of a model; the one without cheap labels if these did not help."""
    asked = strategy_named(card.strategy)
    without = card.correction is not None and card.correction.alone
    return strategy_named(asked.alone) if without and asked.alone else asked


def how_trained(card: Card) -> str:
    """How a model was trained, with its numbers of labels and configurations."""
    return strategy_of(card).how.format(
        labels=count(card.frames.cheap, "label"),
        # Score matching counts them separately.
        configurations=count(card.frames.configurations or card.frames.cheap, "configuration"),
        cheap=card.cheap,
    )


def how_a_variant_trains(variant: str, cheap: str) -> str:
    """How a strategy trains, without numbers."""
    return strategy_named(variant).how.format(labels="labels", configurations="configurations", cheap=cheap)


def main_error(errors: Errors) -> tuple[str, str, Estimate]:
    """Kind, unit and MAE of the error that is shown first: forces, or energies if no label has forces."""
    if errors.force_mae is None:
        return "energy", "eV/atom", errors.energy_mae
    return "force", "eV/Å", errors.force_mae


def count(number: int, thing: str) -> str:
    """
    >>> count(1, "label"), count(1200, "trajectory")
    ('1 label', '1,200 trajectories')
    """
    many = f"{thing[:-1]}ies" if thing.endswith("ory") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else many}"


def rounded(labels: float) -> str:
    """An estimated number of labels with two significant digits.

    >>> rounded(71.3), rounded(1234.0)
    ('71', '1,200')
    """
    return f"{float(f'{labels:.2g}'):,.0f}"
