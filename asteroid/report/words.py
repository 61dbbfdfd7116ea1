"""What a strategy makes of its data, in words: a page must not praise cheap labels that a model never saw.

:mod:`asteroid.report.verdict` and the pages speak of a strategy with the words of its definition.
"""

from asteroid.store.models import Card
from asteroid.strategies import StrategyDefinition, strategy_named


def strategy_of(card: Card) -> StrategyDefinition:
    """Of a model; where cheap labels did not help, the strategy that it followed without them."""
    asked = strategy_named(card.strategy)
    without = card.correction is not None and card.correction.alone
    return strategy_named(asked.alone) if without and asked.alone else asked


def how_trained(card: Card) -> str:
    """What a model was trained from besides its accurate labels, with the numbers of its card."""
    return strategy_of(card).how.format(
        labels=count(card.frames.cheap, "label"),
        # Score matching counts them apart.
        configurations=count(card.frames.configurations or card.frames.cheap, "configuration"),
        cheap=card.cheap,
    )


def how_a_variant_trains(variant: str, cheap: str) -> str:
    """The same of a strategy in general."""
    return strategy_named(variant).how.format(labels="labels", configurations="configurations", cheap=cheap)


def count(number: int, thing: str) -> str:
    """``1 label``, ``2 labels``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def rounded(labels: float) -> str:
    """A number of labels that is an estimate, to the two digits that can be known of it.

    >>> rounded(71.3), rounded(1234.0)
    ('71', '1,200')
    """
    return f"{float(f'{labels:.2g}'):,.0f}"
