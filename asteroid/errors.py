"""The errors that asteroid raises on purpose.

Expected scientific failures (an SCF that does not converge) are rows in the store, not exceptions; what is raised here
is broken input, or a machine that cannot do the work. The command line turns :class:`InputError` into one line a
problem and exit code 2, any other :class:`AsteroidError` into one line and exit code 1.
"""

import difflib
from collections.abc import Iterable, Sequence


class AsteroidError(Exception):
    """Base of every error that asteroid raises on purpose."""


class InputError(AsteroidError):
    """What the user wrote cannot be used; each problem is one line: where, what was found, what to write."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class StoreError(AsteroidError):
    """The store cannot be read or written, or holds something that asteroid did not put there."""


class MissingDependencyError(AsteroidError):
    """A package of an optional extra is needed and absent."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package} is not installed; run: pip install 'asteroid-forcefields[{extra}]'")


class LabelFailed(AsteroidError):
    """A computation ended without a usable label; its reason becomes the ``reason`` of a failed attempt.

    Args:
        retry_steps: in the order tried.
    """

    def __init__(self, reason: str, *, retry_steps: Sequence[str] = ("default",)) -> None:
        self.retry_steps = tuple(retry_steps)
        super().__init__(reason)


class TrainingError(AsteroidError):
    """A model cannot be trained from what the store holds."""


def suggest(found: str, valid: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest valid name, or the list of valid names.

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
    """The valid name that looks most like what was found, None where none looks like it."""
    near = difflib.get_close_matches(found, sorted(valid), n=1, cutoff=0.6)
    return near[0] if near else None


def plural(count: int, noun: str) -> str:
    """
    >>> plural(1, "molecule"), plural(2, "molecule")
    ('1 molecule', '2 molecules')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
