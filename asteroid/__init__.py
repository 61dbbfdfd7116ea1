"""asteroid: accurate machine-learned force fields from few expensive labels and many cheap ones.

    >>> import asteroid
    >>> asteroid.__version__
    '0.2.0'

:func:`label` computes energies and forces, :func:`run` makes the models of a manifest, :func:`open_store` reads stored
results, :func:`load_model` loads a model as an ASE calculator, :func:`watch` stops MD where it leaves what the model
knows (:mod:`asteroid.api`).

This package never imports Prefect. To read the code, start with :mod:`asteroid.pipeline` for the steps and their order,
:mod:`asteroid.store` for the data, and :mod:`asteroid.training.strategies` for the methods.
"""

from typing import TYPE_CHECKING, Any

from asteroid.version import __version__

if TYPE_CHECKING:
    from asteroid.api import OpenStore, label, load_model, open_store, run, watch

__all__ = ["OpenStore", "__version__", "label", "load_model", "open_store", "run", "watch"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that ``import asteroid`` takes milliseconds.
    if name in __all__:
        from asteroid import api

        return getattr(api, name)
    raise AttributeError(f"module 'asteroid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
