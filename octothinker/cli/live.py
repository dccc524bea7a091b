"""Watching a run: a live table on a terminal, a few plain lines elsewhere. Both read the stages' progress.json."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from octothinker.cli.units import amount, duration
from octothinker.records import read_json
from octothinker.runner import Watcher
from octothinker.stage import Stage

PLAIN_EVERY = 60.0  # seconds between two lines about running stages when not on a terminal


def progress(folder: Path) -> dict[str, Any]:
    """What a running stage last said of itself; {} before it has."""
    try:
        return dict(read_json(folder / "progress.json"))
    except FileNotFoundError:  # not yet, or the stage has just ended and its folder has another name
        return {}


def rate(state: dict[str, Any]) -> str:
    return f"{amount(state['rate'])} {state['unit']}/s" if state.get("rate") else ""


def info(state: dict[str, Any]) -> str:
    """`loss 2.31  lr 0.001`: what the stage thinks worth showing."""
    items = [(k, f"{v:.4g}" if isinstance(v, float) else str(v)) for k, v in state.get("info", {}).items()]
    return "  ".join(f"{key} {value}" for key, value in items)


class Plain(Watcher):
    """Lines for a log file: starts, ends, and once a minute how far things are."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.running: dict[Stage, Path] = {}
        self.said = time.time()

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def started(self, stage: Stage, tmp: Path) -> None:
        self.running[stage] = tmp
        self._line(f"start  {stage.name}")

    def finished(self, stage: Stage, seconds: float, error: str | None) -> None:
        self.running.pop(stage, None)
        self._line(f"FAILED {stage.name}: {error}" if error else f"done   {stage.name} in {duration(seconds)}")

    def tick(self) -> None:
        if time.time() - self.said < PLAIN_EVERY:
            return
        self.said = time.time()
        for stage, tmp in self.running.items():
            state = progress(tmp)
            if state:
                share = state["done"] / max(state["total"], 1)
                eta = f"{duration(state['eta_seconds'])} left"
                self._line(f"  ...  {stage.name} {share:.0%}  {rate(state)}  {info(state)}  {eta}")


class Live(Watcher):
    """One line with a bar for each running stage, and a line for the whole; finished stages move up, out of the way."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.running: dict[Stage, Path] = {}
        self.last: dict[Stage, dict[str, Any]] = {}
        self.began, self.count, self.failures = time.time(), 0, 0
        self.live = RichLive(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)
        self.live.start()

    def started(self, stage: Stage, tmp: Path) -> None:
        self.running[stage] = tmp

    def finished(self, stage: Stage, seconds: float, error: str | None) -> None:
        self.running.pop(stage, None)
        state = self.last.pop(stage, {})
        mark = "[red]✗[/red]" if error else "[green]✓[/green]"
        self.count += error is None
        self.failures += error is not None
        text = f"[red]{escape(error)}[/red]" if error else f"[dim]{escape(info(state))}[/dim]"
        self.live.console.print(f"{mark} {escape(stage.name):<28} {duration(seconds):>8}  {text}")

    def render(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for stage, tmp in list(self.running.items()):  # drawn by another thread
            state = progress(tmp) or self.last.get(stage)
            if not state:
                table.add_row(stage.name, "", "", "", "starting", "")
                continue
            self.last[stage] = state
            bar = ProgressBar(total=max(state["total"], 1), completed=state["done"], width=24)
            share = f"{state['done'] / max(state['total'], 1):.0%}"
            eta = f"{duration(state['eta_seconds'])} left" if state["eta_seconds"] is not None else ""
            table.add_row(stage.name, bar, share, rate(state), escape(info(state)), eta)
        failed = f", {self.failures} failed" if self.failures else ""
        now = time.time() - self.began
        whole = Text(
            f"{self.count} done, {len(self.running)} running{failed}  {duration(now)}  (Ctrl-C stops; it resumes)"
        )
        whole.stylize("dim")
        return Group(table, whole)

    def close(self) -> None:
        self.live.stop()
