"""Water with labels at two levels, and a model of it: what the training tests use."""

from tests.training.conftest import water

__all__ = ["water"]
