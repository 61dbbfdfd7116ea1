"""A labeller in a process of its own, for callers that have torch in theirs.

Clashing OpenMP and BLAS libraries give wrong numbers where quantum chemistry and torch share a process. Campaigns
(:mod:`asteroid.labelling.campaign`) label whole tables; this answers one configuration after another, for MD with a
model that adds to a cheap level.
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

    The process starts with the first label. It ends when this object is collected, when it is closed, and at the latest
    with its parent, also where that is killed.

    Raises:
        InputError: for a level that no program computes.
        MissingDependencyError: when its program is not installed.
    """

    def __init__(self, level: LevelOfTheory, engine: str | None = None) -> None:
        # It loads no program before its first label, which it never computes here.
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
            AsteroidError: when the process died; the next label starts another one.
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
            # Interrupted while it waited: the answer that is still to come is not that of the next question.
            self.close()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Let the process end."""
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
        # The child's end must be open in the child alone: it closes when the child dies.
        theirs.close()
        return self._connection


def _serve(connection: Connection, make: partial[Labeller]) -> None:
    """What runs in the process: answer one configuration after another until the parent closes the pipe or dies."""
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
