"""The command line without a process for each command: the same entry point, arguments and exit codes."""

import contextlib
import io
import sys
from dataclasses import dataclass

import pytest

from asteroid import stopping
from asteroid.cli import main


@dataclass(frozen=True)
class Finished:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def cli(*arguments: str) -> Finished:
    """Run ``asteroid`` with these arguments."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setattr(sys, "argv", ["asteroid", *arguments])
        # Ctrl-C stays pytest's, here and in every later test.
        patch.setattr(stopping, "install", lambda: None)
        try:
            main()
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    return Finished(code, stdout.getvalue(), stderr.getvalue())
