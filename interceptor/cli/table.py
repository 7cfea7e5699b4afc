"""Plain aligned columns, as kubectl prints them; `cli.list` and `cli.status` fill them."""

from collections.abc import Iterable, Sequence

_GAP = "   "


def lines(rows: Iterable[Sequence[str]]) -> list[str]:
    """One line a row, each column as wide as its widest cell; nothing is cut, so that a script finds whole words."""
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
