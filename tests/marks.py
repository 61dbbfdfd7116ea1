"""Which cases of a test `make test` tries."""

from collections.abc import Collection, Sequence
from typing import TypeVar

import pytest
from _pytest.mark.structures import ParameterSet

T = TypeVar("T")


def mostly_long(values: Sequence[T], *, quick: Collection[T]) -> list[T | ParameterSet]:
    """Parameters of which these are tried in `make test`, and the others in `make test-all` alone."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.long) for value in values]
