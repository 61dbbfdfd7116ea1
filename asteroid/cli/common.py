"""Options, console, progress bars, tables and JSON output of the commands."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from asteroid.errors import InputError

if TYPE_CHECKING:
    from asteroid.levels import LevelOfTheory
    from asteroid.manifest import Manifest

ManifestArgument = Annotated[Path, typer.Argument(help="YAML file that names molecules, levels of theory and budgets.")]
StoreOption = Annotated[str, typer.Option("--store", help="Folder or s3:// URL of the store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table for people.")]

# A pipe has no width: wide enough that no table wraps a name, unless COLUMNS is set.
_WIDTH = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 160
out = Console(soft_wrap=True, highlight=False, width=_WIDTH)

WARNING = "warning: "
"""Prefix of lines about probable mistakes."""


class progress_bar:  # noqa: N801 - reads as a function
    """A progress bar on standard error; hidden where that is no terminal."""

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
        """Set the bar, for work with its own count."""
        self._progress.update(self._task, completed=done, total=total)


def make_table(title: str, names: Sequence[str], figures: Sequence[str]) -> Table:
    """A table without rows, for a terminal with 80 columns: words wrap, numbers are never cut.

    Headings break at spaces, and related values share a cell on two lines.

    Args:
        names: headings of text columns, which wrap.
        figures: headings of number columns, which do not wrap; each word of a heading is on its own line.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    return table


def load_with_warnings(manifest: Path) -> "Manifest":
    """Load and check a manifest; probable mistakes are printed to standard error.

    Raises:
        InputError: with every problem, one line each.
    """
    from asteroid.stages import likely_mistakes, load_checked

    loaded = load_checked(manifest)
    print_warnings(likely_mistakes(loaded))
    return loaded


def parse_level(option: str, text: str) -> "LevelOfTheory":
    """Level of theory in an option; labels may be imported.

    Raises:
        InputError: when it is no level of theory.
    """
    from asteroid.levels import LevelOfTheory

    try:
        return LevelOfTheory.parse(text, imported=True)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings to standard error, one line each."""
    for warning in warnings:
        print(f"{WARNING}{warning}", file=sys.stderr)


def print_json(content: Any) -> None:
    """Print JSON to standard output."""
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
