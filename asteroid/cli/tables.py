"""Tables for people: they fit a terminal of 80 characters, and figures are never cut.

Words fold, heads break at spaces, and what belongs together shares a cell on two lines.
"""

from collections.abc import Sequence

from rich import box
from rich.table import Table


def make_table(title: str, names: Sequence[str], figures: Sequence[str]) -> Table:
    """A table without rows.

    Args:
        names: heads of columns of words, which fold where there is no room.
        figures: heads of columns of figures, which do not; their heads stand on a line a word.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    return table
