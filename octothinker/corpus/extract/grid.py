"""Tables of a page: which ones are data, and their cells."""

from __future__ import annotations

from octothinker.corpus.extract.dom import Node

MAX_CELL = 400
"""Characters in a cell of data, on average; beyond that a table only places text on the page."""


def grid(table: Node) -> list[list[Node]] | None:
    """Rows of cells of a table of data; None for one that only lays out: nested, of one cell a row, or with whole texts in it."""
    if table.css_first("table table, pre, h1, h2, h3, h4, ul, ol, dl, blockquote, p + p") is not None:
        return None
    rows = []
    for part in table.iter():
        lines = [part] if part.tag == "tr" else part.iter() if part.tag in ("thead", "tbody", "tfoot") else []
        for line in lines:
            if line.tag == "tr" and (cells := [cell for cell in line.iter() if cell.tag in ("td", "th")]):
                rows.append(cells)
    count = sum(len(row) for row in rows)
    if not rows or max(len(row) for row in rows) < 2 or table.css_first("form, nav") is not None:
        return None
    return rows if len(table.text(deep=True) or "") <= MAX_CELL * count else None
