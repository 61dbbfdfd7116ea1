"""Results as HTML tables, which notebooks show in place of a ``repr``."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table below a title; all text is escaped.

    >>> table("a < b", ["n"], [[1]])
    '<b>a &lt; b</b><table><thead><tr><th>n</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<b>{escape(title)}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def fields(title: str, values: Mapping[str, object]) -> str:
    """Names and values as an HTML table; those that are None or empty are left out."""
    rows = [(name, value) for name, value in values.items() if value is not None and value != ""]
    return table(title, ["", ""], rows).replace("<thead><tr><th></th><th></th></tr></thead>", "")
