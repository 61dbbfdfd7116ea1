"""asteroid: accurate machine-learned force fields from few expensive labels and many cheap ones.

    >>> import asteroid
    >>> asteroid.__version__
    '0.1.0'

:func:`label` computes energies and forces, :func:`run` makes models of a manifest, :func:`open_store` reads what was
kept, :func:`load_model` is a finished model as an ASE calculator (:mod:`asteroid.api`).

Plain Python that never imports Prefect. To read the code, start at :mod:`asteroid.pipeline` for the steps and their
order, at :mod:`asteroid.store` for where everything is kept, and at :mod:`asteroid.training.strategies` for the method.
"""

from typing import TYPE_CHECKING, Any

from asteroid.version import __version__

if TYPE_CHECKING:
    from asteroid.api import OpenStore, label, load_model, open_store, run

__all__ = ["OpenStore", "__version__", "label", "load_model", "open_store", "run"]


def __getattr__(name: str) -> Any:
    # When first used: ``import asteroid`` takes milliseconds, also for those who want one module alone.
    if name in __all__:
        from asteroid import api

        return getattr(api, name)
    raise AttributeError(f"module 'asteroid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
