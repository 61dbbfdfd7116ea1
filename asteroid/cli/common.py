"""What every command shares: options, the console, progress bars and JSON."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from asteroid.manifest import Manifest

ManifestArgument = Annotated[Path, typer.Argument(help="YAML file that names molecules, levels of theory and budgets.")]
StoreOption = Annotated[str, typer.Option("--store", help="Folder or s3:// URL where everything is kept.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table for people.")]

# A pipe has no width: wide enough that no table folds a name, unless COLUMNS says one.
_WIDTH = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 160
out = Console(soft_wrap=True, highlight=False, width=_WIDTH)


WARNING = "warning: "
"""Before each line about what is probably, but not surely, a mistake."""


class progress_bar:  # noqa: N801 - reads as a function
    """A progress bar on standard error that a pipe does not see."""

    def __init__(self, total: int, title: str, *, quiet: bool) -> None:
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=quiet or not console.is_terminal)
        self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> Any:
        self._progress.start()
        return lambda: self._progress.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int) -> None:
        """Set the bar, for work that counts itself."""
        self._progress.update(self._task, completed=done, total=total)


def load_with_warnings(manifest: Path) -> "Manifest":
    """A manifest that can be run; what is probably a mistake in it goes to standard error.

    Raises:
        InputError: with every problem, one line each.
    """
    from asteroid.stages import likely_mistakes, load_checked

    loaded = load_checked(manifest)
    print_warnings(likely_mistakes(loaded))
    return loaded


def print_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"{WARNING}{warning}", file=sys.stderr)


def print_json(content: Any) -> None:
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
