"""`octo bench extraction`: the table of what each extractor keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from octothinker.cli.common import console

MEASURES = ("kept", "delimited", "equal", "prose", "furniture", "pages_per_second", "speed_of_ours")


def run(real: Path | None, smoke: bool, as_json: bool, errors: Console) -> None:
    """Measure and print; progress goes to `errors`."""
    from octothinker.bench.extraction import rows

    found = rows(real, smoke, lambda text: errors.print(text, style="dim", markup=False, soft_wrap=True))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    table(console(), found)


def table(screen: Console, found: list[dict[str, Any]]) -> None:
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("pages", "extractor", "formulas", *(name.replace("_", " ") for name in MEASURES), "reach"):
        shown.add_column(column, justify="left" if column in ("pages", "extractor", "reach") else "right")
    for row in sorted((row for row in found if "missing" not in row), key=lambda row: str(row["part"])):
        reach = ", ".join(f"{name} {value:g}" for name, value in row.get("reach", {}).items())
        values = [
            "" if name not in row else f"{row[name]:.0f}" if name == "pages_per_second" else f"{row[name]:.3f}"
            for name in MEASURES
        ]
        shown.add_row(
            row["part"], row["extractor"], str(row["n"]), *values, reach if row["extractor"] == "octothinker" else ""
        )
    screen.print(shown)
    for row in found:
        if "missing" in row:
            screen.print(f"{row['part']}: {row['extractor']}: {row['missing']}", markup=False, soft_wrap=True)
