"""A labeller in its own process, for callers that use torch.

Clashing OpenMP and BLAS libraries give wrong numbers where quantum chemistry and torch share a process. Unlike a
campaign (:mod:`asteroid.labelling.campaign`), it computes one configuration at a time, as MD with a Δ-model needs.
"""

from functools import partial
from multiprocessing.connection import Connection

from asteroid.configuration import Configuration
from asteroid.engines import Labeller, Result, make_labeller
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.processes import CleanContext, describe_exit, die_with_parent, single_thread_environment


class LabellerApart:
    """A :class:`~asteroid.engines.Labeller` whose program runs in one child process.

    The process starts with the first label. It ends when this object is closed or garbage-collected, and at the latest
    with its parent, even if that is killed.

    Raises:
        InputError: for a level that no program computes.
        MissingDependencyError: when its program is not installed.
    """

    def __init__(self, level: LevelOfTheory, engine: str | None = None) -> None:
        # This one only supplies the names: it computes no label, so it loads no program.
        local = make_labeller(level, engine)
        self.level = level
        self.program, self.version, self.settings = local.program, local.version, local.settings
        self._make = partial(make_labeller, level, engine)
        self._connection: Connection | None = None

    def load(self) -> None:
        """Start the process."""
        if self._connection is None:
            self._start()

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label.

        Raises:
            LabelFailed: when the calculation does not converge.
            AsteroidError: when the process died; the next label starts a new one.
        """
        connection = self._connection or self._start()
        try:
            connection.send((configuration, forces))
            answer: Result | Exception = connection.recv()
        except (EOFError, OSError):
            self._process.join()
            self.close()
            ended = describe_exit(self._process.exitcode)
            raise AsteroidError(f"the process that computes {self.level} {ended}") from None
        except BaseException:
            # Interrupted while waiting: the next call must not receive this answer.
            self.close()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _start(self) -> Connection:
        single_thread_environment()
        context = CleanContext()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._make), name="asteroid-labeller-apart", daemon=True
        )
        self._process.start()
        # Only the child may hold its end open, so that the pipe closes when the child dies.
        theirs.close()
        return self._connection


def _serve(connection: Connection, make: partial[Labeller]) -> None:
    """Loop of the child process: label configurations until the parent closes the pipe or dies."""
    die_with_parent()
    labeller = make()
    while True:
        try:
            configuration, forces = connection.recv()
        except EOFError:
            return
        try:
            answer: Result | Exception = labeller.compute(configuration, forces=forces)
        except AsteroidError as error:
            answer = error
        connection.send(answer)
