"""Errors for wrong input and for machines that cannot do the work.

Expected scientific failures, such as an SCF without convergence, are stored as rows and not raised. The command line
shows an :class:`InputError` as one line per problem with exit code 2, other errors as one line with exit code 1.
"""

import difflib
from collections.abc import Iterable, Sequence


class AsteroidError(Exception):
    """Base class of all errors of asteroid."""


class InputError(AsteroidError):
    """Wrong user input; one line for each problem: place, found value, and what to write."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class StoreError(AsteroidError):
    """The store cannot be read or written, or has unknown content."""


class MissingDependencyError(AsteroidError):
    """A package of an optional extra is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package} is not installed; run: pip install 'asteroid-forcefields[{extra}]'")


class LabelFailed(AsteroidError):
    """A calculation without a usable label.

    Args:
        reason: stored with the failed attempt.
        retry_steps: in the order tried.
    """

    def __init__(self, reason: str, *, retry_steps: Sequence[str] = ("default",)) -> None:
        self.retry_steps = tuple(retry_steps)
        super().__init__(reason)


class TrainingError(AsteroidError):
    """A model cannot be trained from the stored labels."""


class LeftKnownRegion(AsteroidError):
    """MD has reached geometries that the model does not know, see :func:`asteroid.watch`.

    Args:
        time: ps, of the last look.
        atom: index of the atom with the largest bound.
        symbol: its element.
        bound, limit: eV/Å.
    """

    def __init__(self, *, time: float, atom: int, symbol: str, bound: float, limit: float) -> None:
        self.time, self.atom, self.bound, self.limit = time, atom, bound, limit
        super().__init__(
            f"left what it knows at {time:.3g} ps: the bound on the force error of atom {atom} ({symbol}) is "
            f"{bound:.2g} eV/Å, the limit {limit:.2g}; label geometries like these, or start colder"
        )


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none.

    >>> first_line(KeyError())
    'KeyError'
    """
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def suggest(found: str, valid: Iterable[str]) -> str:
    """``did you mean 'x'?`` with the nearest valid name, or the list of valid names.

    >>> suggest("gfn2xtb", ["gfn1-xtb", "gfn2-xtb"])
    "did you mean 'gfn2-xtb'?"
    >>> suggest("water", [])
    'there are none yet'
    """
    names = sorted(valid)
    near = nearest(found, names)
    if near is not None:
        return f"did you mean '{near}'?"
    return f"write one of: {', '.join(names)}" if names else "there are none yet"


def nearest(found: str, valid: Iterable[str]) -> str | None:
    """The most similar valid name; None without a similar one."""
    near = difflib.get_close_matches(found, sorted(valid), n=1, cutoff=0.6)
    return near[0] if near else None


def plural(count: int, noun: str) -> str:
    """
    >>> plural(1, "molecule"), plural(2, "molecule")
    ('1 molecule', '2 molecules')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
