"""What the commands share: options, and running an experiment with progress and a summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from octothinker.stage import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from octothinker.config import Experiment
    from octothinker.runner import Outcome, Watcher

Out = Annotated[Path | None, typer.Option("--out", help="Run folder. Default: runs/NAME.", show_default=False)]
OneOut = Annotated[Path, typer.Option("--out", help="Run folder; the result lies in its stages/.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field: --set rl.steps=20. Repeat for more."),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="STAGE", help="This stage and what it needs. Repeat for more.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Stages at once. Default: one a core; one on a GPU.")]
Seeds = Annotated[str | None, typer.Option(metavar="0,1,2", help="Run the recipe for these seeds.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A Hugging Face folder, or owner/name@revision on the hub.")
]


def console() -> Console:
    """As wide as the terminal; elsewhere wide enough that tables and trees are not folded."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=200)


def warn_of_slow_bf16(screen: Console, experiment: Experiment) -> None:
    asks = {f"midtrain.{stage.name}": stage.precision for stage in experiment.midtrain}
    asks |= {"rl": experiment.rl.precision} if experiment.rl else {}
    asks |= {"eval": experiment.eval.precision} if experiment.eval.problems else {}
    slow = [f"--set {name}.precision=fp32" for name, precision in asks.items() if precision == "bf16"]
    if slow:
        from octothinker.train.dist import fast_precision

        if fast_precision() == "fp32":
            hint = "This CPU has no bf16 instructions; in fp32 the recipe is several times faster here: "
            screen.print(f"[dim]{hint}{' '.join(slow)}[/dim]", soft_wrap=True)


def watched(run: Callable[[Watcher], Outcome]) -> tuple[Console, Outcome]:
    """Run with what shows progress: live on a terminal, plain lines elsewhere, nothing on ranks above 0."""
    from octothinker.cli import live
    from octothinker.runner import Watcher

    if os.environ.get("RANK", "0") != "0":
        raise typer.Exit(run(Watcher()).code)
    screen = console()
    watcher = live.Live(screen) if screen.is_terminal else live.Plain(screen)
    try:
        return screen, run(watcher)
    finally:
        watcher.close()


def ended(screen: Console, outcome: Outcome, again: str, summary: Callable[[], None]) -> None:
    """Show how a run ended, and with which command it goes on. Leaves only when it was interrupted."""
    from octothinker.runner import last_lines

    if outcome.code == EXIT_INTERRUPTED:
        screen.print(f"Stopped. What was done is kept; go on with: {again}", soft_wrap=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    summary()
    for name, reason in outcome.failed.items():
        screen.print(f"\n[red]{escape(name)} failed:[/red] {escape(reason)}", soft_wrap=True)
        screen.print(f"[dim]the end of {escape(str(outcome.logs[name]))}:[/dim]", soft_wrap=True)
        screen.print(last_lines(outcome.logs[name]), style="dim", markup=False, soft_wrap=True)
    if outcome.blocked:
        screen.print(f"\nNot started, they need what failed: {', '.join(outcome.blocked)}", soft_wrap=True)
    if outcome.failed:
        screen.print(f"\nWhen the cause is mended, go on with: {again}", soft_wrap=True)


def go(experiment: Experiment, out: Path, only: Sequence[str] = (), jobs: int | None = None) -> None:
    """Run what is missing in `out`, show it, and leave with the exit code that says how it went."""
    from octothinker.cli import tables
    from octothinker.runner import run_experiment

    if os.environ.get("RANK", "0") == "0":
        warn_of_slow_bf16(console(), experiment)
    screen, outcome = watched(lambda watcher: run_experiment(experiment, out, watcher, only, jobs, sys.argv))
    ended(screen, outcome, f"octo run {out / 'experiment.json'}", lambda: tables.summary(screen, out))
    if not outcome.failed and experiment.rl_from and experiment.eval.problems:
        from octothinker.report.html import write_report

        screen.print(f"\nReport: {write_report(out)}", soft_wrap=True)
    raise typer.Exit(outcome.code)
