"""The phases of a training, told by its strategy and settings alone: what a quote counts. Needs no torch.

What each phase does is in :mod:`asteroid.training.strategies`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from asteroid.settings import Strategy, TrainingSettings
from asteroid.training.bias import QUANTILES, TRIAL_STEPS

Objective = Literal["labels", "score-matching", "score-matching-exact", "score-matching-denoising"]


@dataclass(frozen=True)
class Phase:
    """One phase of a training: steps of the optimiser, or kernels that are fitted.

    Args:
        steps: of the optimiser, at most.
        batch_size: frames in a step.
        least_steps: where early stopping can end it at the earliest; 0 where the recipe may do without it.
        kernels: Gaussian processes fitted to the accurate labels; such a phase has no other steps.
    """

    name: str
    steps: int
    batch_size: int
    least_steps: int
    objective: Objective = "labels"
    kernels: int = 0


def phases(strategy: Strategy | Literal["member"], settings: TrainingSettings) -> list[Phase]:
    """Phases of one model, in order; those of the baseline, which every pipeline trains as well, are of ``scratch``.

    >>> [phase.name for phase in phases("corrected", TrainingSettings())]
    ['kernels', 'correction', 'pretrain', 'finetune']
    """
    patience = (settings.patience + 1) * settings.evaluate_every

    def phase(name: str, steps: int, batch_size: int, *, stops: bool) -> Phase:
        return Phase(name, steps, batch_size, min(steps, patience) if stops else steps)

    small, large = settings.finetune_batch_size, settings.batch_size
    alone = phase("scratch", settings.steps_alone, small, stops=True)
    pretrain = phase("pretrain", settings.pretrain_steps, large, stops=False)
    finetune = phase("finetune", settings.finetune_steps, small, stops=True)
    match strategy:
        case "scratch" | "delta":
            return [alone]
        case "member":
            return [phase("member", settings.finetune_steps, small, stops=False)]
        case "foundation":
            return [replace(alone, name="finetune")]
        case "multihead":
            return [phase("multihead", settings.steps_together, large, stops=True)]
        case "unweighted":
            return [pretrain, finetune]
        case "weighted":
            # The first teacher is the baseline.
            trial = phase("gamma", max(1, round(TRIAL_STEPS * settings.pretrain_steps)), large, stops=False)
            trials = [trial] * (len(QUANTILES) + 1) if settings.gamma == "auto" else []
            return [*[alone] * (settings.teachers - 1), *trials, pretrain, finetune]
        case "corrected" | "distilled":
            # Held-out frames are of the level of corrected labels.
            pretrain = phase("pretrain", settings.pretrain_steps, large, stops=True)
            if strategy == "distilled":
                return [Phase("kernels", 0, 0, 1, kernels=1), pretrain, finetune]
            # One of each difference, and one of the accurate labels alone.
            fits = len(settings.ladder) + 2
            kernels = Phase("kernels", 0, 0, fits, kernels=fits)
            network = [] if settings.ladder else [phase("correction", settings.correction_steps, small, stops=True)]
            return [kernels, *(replace(one, least_steps=0) for one in network), pretrain, finetune]
        case "score-matching" | "score-matching-exact" | "score-matching-denoising":
            return [replace(pretrain, objective=strategy), finetune]
