"""`octo bench corpus [PART …]`: a table of what the corpus's steps reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from octothinker.cli.common import console


def run(
    parts: Sequence[str],
    data: Path | None,
    documents: Path | None,
    tokenizer: Path | None,
    smoke: bool,
    as_json: bool,
    say: Callable[[str], None],
) -> None:
    from octothinker.bench.corpus import Setting, run

    rows = run(parts, Setting(smoke, data, documents, tokenizer), say)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("what", "here", "reach", "how"):
        table.add_column(column, justify="right" if column in ("here", "reach") else "left")
    for row in rows:
        value = row["value"] if isinstance(row["value"], str) else f"{row['value']:,.4g}"
        table.add_row(escape(row["what"]), escape(value), escape(row["reach"]), escape(row["how"]))
    console().print(table)
