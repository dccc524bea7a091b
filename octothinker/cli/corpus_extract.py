"""`octo corpus extract`: text with its formulas from web archives and HTML."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from octothinker.cli.common import console
from octothinker.cli.units import amount, duration

PLAIN_EVERY = 30.0  # seconds between two lines when not on a terminal


def extract(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="WARC, HTML, JSON lines, parquet; file, folder, glob or URL.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.jsonl", help="One line a page: url, text, formulas, title.")],
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time of one page; then its process is killed.")] = 10.0,
    max_bytes: Annotated[int, typer.Option(min=1, help="Size of one page.")] = 5_000_000,
    max_depth: Annotated[int, typer.Option(min=1, help="Elements within each other.")] = 512,
    max_formulas: Annotated[int, typer.Option(min=1, help="Formulas of one page.")] = 5_000,
    field: Annotated[str | None, typer.Option(help="The field of rows that holds the HTML. Default: found by name.")] = None,
) -> None:
    """Text with its mathematics intact, as $…$ and $$…$$, in light Markdown; menus and other furniture left out.

    A page that is broken, too large or too slow costs only itself and is counted under its reason. Killed, it goes on
    when the same command is typed again.

    \b
      octo corpus extract crawl.warc.gz --out pages.jsonl
      octo corpus extract site/ --out pages.jsonl --workers 8
      octo corpus extract 's3://bucket/*.warc.gz' --out pages.jsonl
    """
    from octothinker.corpus.extract.files import extract_file
    from octothinker.corpus.extract.page import Limits

    limits = Limits(bytes=max_bytes, depth=max_depth, formulas=max_formulas, seconds=seconds)
    screen = console()
    watch = _Watch(screen)
    with watch.bar:
        report = extract_file(source, out, workers or os.cpu_count() or 1, limits, field, watch)
    rate = report["pages"] / max(report["seconds"], 1e-9)
    screen.print(
        f"{report['written']} of {report['pages']} pages, {sum(report['formula_kinds'].values())} formulas "
        f"in {duration(report['seconds'])} ({amount(rate)} pages/s): {escape(str(out))}",
        soft_wrap=True,
    )
    for name, reasons in (("dropped", report["dropped"]), ("broken", report["broken_records"])):
        for reason, count in sorted(reasons.items()):
            example = report["samples"].get(reason, [""])[0]
            screen.print(f"  {name} {count} {reason}, e.g. {example}", markup=False, soft_wrap=True, style="dim")


class _Watch:
    """A bar on a terminal, a line every half minute elsewhere; the share done is that of the input's bytes."""

    def __init__(self, screen: Console) -> None:
        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}"), TimeRemainingColumn())
        self.screen, self.said, self.began, self.first = screen, time.monotonic(), time.monotonic(), -1
        self.bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
        self.task = self.bar.add_task("", total=1.0)

    def __call__(self, pages: int, done: int, total: int, dropped: Mapping[str, int]) -> None:
        self.first = pages - 1 if self.first < 0 else self.first  # a resumed run's rate is its own
        rate = (pages - self.first) / max(time.monotonic() - self.began, 1e-9)
        text = f"{pages} pages, {amount(rate)}/s, {sum(dropped.values())} dropped"
        self.bar.update(self.task, completed=done / max(total, 1), description=text)
        if not self.screen.is_terminal and time.monotonic() - self.said > PLAIN_EVERY:
            self.said = time.monotonic()
            share = done / max(total, 1)
            left = (self.said - self.began) * (1 - share) / share if share > 0 else None
            self.screen.print(f"{share:.0%}  {text}, {duration(left)} left", soft_wrap=True)
