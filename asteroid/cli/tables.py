"""Tables for a terminal with 80 columns: words wrap, numbers are never cut.

Headings break at spaces, and related values share a cell on two lines.
"""

from collections.abc import Sequence

from rich import box
from rich.table import Table


def make_table(title: str, names: Sequence[str], figures: Sequence[str]) -> Table:
    """A table without rows.

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
