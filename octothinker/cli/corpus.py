"""`octo corpus`: from web archives to training text."""

from __future__ import annotations

import typer

from octothinker.cli import corpus_extract

app = typer.Typer(help="From web archives to training text.", no_args_is_help=True)
app.command("extract")(corpus_extract.extract)
