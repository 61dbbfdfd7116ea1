"""What each strategy makes of its data, in words: a page must not praise cheap labels that a model never saw.

:mod:`asteroid.report.verdict` and the pages speak of a strategy with these words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asteroid.settings import Strategy


@dataclass(frozen=True)
class StrategyWords:
    """How to speak of a strategy.

    Args:
        how: what it does, after "A MACE model": ``{labels}`` and ``{configurations}`` are their numbers,
            ``{cheap}`` is the cheap level.
        aid: what it has that ``scratch`` has not, as in "without the cheap labels"; empty for ``scratch`` itself.
    """

    how: str
    aid: str

    @property
    def reads_cheap_labels(self) -> bool:
        """Whether cheap labels are a part of the model, and of its cost."""
        return self.aid in (_LABELS, _METHOD)


_LABELS, _METHOD, _SAMPLES = "the cheap labels", "the cheap method", "the sampled configurations"
_SCORE = "pretrained by score matching ({form}) on {{configurations}} without labels"

WORDS: dict[Strategy, StrategyWords] = {
    "scratch": StrategyWords("trained on accurate labels alone", ""),
    "unweighted": StrategyWords("pretrained on {labels} of {cheap}, all alike", _LABELS),
    "weighted": StrategyWords("pretrained on {labels} of {cheap}, weighted by their estimated bias", _LABELS),
    "corrected": StrategyWords(
        "pretrained on {labels} of {cheap}, each corrected by what the frames with both labels teach", _LABELS
    ),
    "distilled": StrategyWords("pretrained on {configurations}, labelled by a kernel of the accurate labels", _SAMPLES),
    "multihead": StrategyWords("trained on {labels} of {cheap} at the same time, with a readout of their own", _LABELS),
    "delta": StrategyWords("learnt as the difference from {cheap}, which it needs at run time", _METHOD),
    "foundation": StrategyWords("fine-tuned from a model that the user gave", "the model that it starts from"),
    "score-matching": StrategyWords(_SCORE.format(form="sliced"), _SAMPLES),
    "score-matching-exact": StrategyWords(_SCORE.format(form="exact"), _SAMPLES),
    "score-matching-denoising": StrategyWords(_SCORE.format(form="denoising"), _SAMPLES),
}


def words_of(card: Mapping[str, Any]) -> StrategyWords:
    """Of a model: one that was to be corrected and did better without cheap labels was distilled."""
    alone = (card.get("correction") or {}).get("alone", False)
    return WORDS["distilled"] if alone else WORDS[card["strategy"]]


def how_trained(card: Mapping[str, Any]) -> str:
    """What a model was trained from besides its accurate labels, with the numbers of its card."""
    frames = card["frames"]
    return words_of(card).how.format(
        labels=count(frames["cheap"], "label"),
        # Score matching counts them apart; cards of before it do not have the key.
        configurations=count(frames.get("configurations") or frames["cheap"], "configuration"),
        cheap=card["cheap"],
    )


def how_an_arm_trains(arm: Strategy, cheap: str) -> str:
    """The same of a strategy in general."""
    return WORDS[arm].how.format(labels="labels", configurations="configurations", cheap=cheap)


def count(number: int, thing: str) -> str:
    """``1 label``, ``2 labels``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def rounded(labels: float) -> str:
    """A number of labels that is an estimate, to the two digits that can be known of it.

    >>> rounded(71.3), rounded(1234.0)
    ('71', '1,200')
    """
    return f"{float(f'{labels:.2g}'):,.0f}"
