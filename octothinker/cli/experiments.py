"""`octo run | plan | status | report | track | recipes`: a whole experiment."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from octothinker.cli.common import Jobs, Only, Out, Seeds, Set, console, go
from octothinker.records import read_json
from octothinker.stage import EXIT_FAILED, EXIT_OK
from octothinker.typed import ConfigError

if TYPE_CHECKING:
    from octothinker.config import Experiment

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="A name, file.py:function, or experiment.json.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]


def _resolve(recipe: str, settings: list[str] | None, seeds: str | None, out: Path | None) -> tuple[Experiment, Path]:
    from octothinker.recipes import find
    from octothinker.typed import override

    experiment = override(find(recipe), settings or [])
    if seeds is not None:
        if not all(part.strip().isdigit() for part in seeds.split(",")):
            raise ConfigError(f"--seeds {seeds!r}: write whole numbers with commas between them: 0,1,2")
        experiment = dataclasses.replace(experiment, seeds=tuple(int(part) for part in seeds.split(",")))
    own = Path(recipe).parent if Path(recipe).name == "experiment.json" else Path("runs") / experiment.name
    return experiment, out or own


def _check_run(folder: Path) -> None:
    if not (folder / "plan.json").is_file():
        raise ConfigError(f"{folder} is no run folder: it has no plan.json")


def run(
    recipe: Recipe, only: Only = None, settings: Set = None, out: Out = None, jobs: Jobs = None, seeds: Seeds = None
) -> None:
    """Run a recipe: everything that is not there yet, then a summary and report.html.

    Stopped or failed, the same command goes on from there. A changed field reruns what it changes and nothing else.

    \b
      octo run nano
      octo run nano --seeds 0,1,2 --out runs/study
      octo run nano --only rl.long --set rl.steps=20
      octo run my.py:experiment
      octo run runs/nano/experiment.json
      torchrun --nproc-per-node 8 -m octothinker run octothinker-3b
    """
    go(*_resolve(recipe, settings, seeds, out), only or (), jobs)


def plan(
    recipe: Recipe,
    settings: Set = None,
    out: Out = None,
    jobs: Jobs = None,
    seeds: Seeds = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs that a training stage is sharded over.")] = 1,
    tflops: Annotated[
        float | None, typer.Option(help="Matmul peak of one device in TFLOP/s. Default: measured here.")
    ] = None,
) -> None:
    """Show what a run would do and cost, as a tree. Runs nothing.

    Says what is cached, which field made a stage stale, tokens, steps, epochs, FLOPs, memory a device, expected time.

    \b
      octo plan nano
      octo plan nano --set midtrain.long.tokens=2000000
      octo plan octothinker-8b --devices 64 --tflops 989
    """
    from octothinker import graph, order
    from octothinker import plan as plans
    from octothinker.cli import tables

    experiment, folder = _resolve(recipe, settings, seeds, out)
    stages = graph.expand(experiment, folder / "fingerprints.json" if folder.exists() else None)
    graph.check_forks(stages, folder)
    jobs = jobs or (1 if tflops else order.default_jobs(stages))
    precision = experiment.midtrain[0].precision if experiment.midtrain else experiment.eval.precision
    peak = tflops * 1e12 if tflops else plans.probe(precision)
    rows = plans.make_plan(stages, experiment, folder, peak, devices, jobs)
    tables.plan_tree(console(), experiment, rows, folder, peak, devices, jobs)


def status(folder: Folder) -> None:
    """How far a run is: its stages, done, running with the time left, failed and why.

    Exit code 1 when a stage has failed.

    \b
      octo status runs/nano
      watch octo status runs/nano
    """
    from octothinker.cli import tables

    _check_run(folder)
    raise typer.Exit(EXIT_FAILED if tables.status(console(), folder) else EXIT_OK)


def report(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as data; write nothing.")] = False,
) -> None:
    """Write report.html of a run, finished or not: one file that opens offline.

    \b
      octo report runs/nano
      octo report runs/nano --json | jq '.runs[] | [.init, .gain_sampled]'
    """
    _check_run(folder)
    if not read_json(folder / "experiment.json")["eval"]["problems"]:
        raise ConfigError(
            f"{folder}: this run evaluates nothing, so there is nothing to report; see octo status {folder}"
        )
    if as_json:
        from octothinker.report.summary import report_json

        typer.echo(json.dumps(report_json(folder), indent=1, ensure_ascii=False))
    else:
        from octothinker.report.html import write_report

        console().print(f"Report: {write_report(folder)}", soft_wrap=True)


def track(
    folder: Folder,
    to: Annotated[Literal["tensorboard", "wandb", "trackio"], typer.Option(help="Where the metrics go.")],
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends.")] = False,
    project: Annotated[str, typer.Option(help="For wandb and trackio. Default: DIR's name.", show_default=False)] = "",
) -> None:
    """Send a run's metrics to an experiment tracker, one tracker run a stage. Done again, it sends only what is new.

    \b
      octo track runs/nano --to tensorboard && tensorboard --logdir runs/nano/track/tensorboard
      octo track runs/nano --to trackio --watch
      WANDB_MODE=offline octo track runs/nano --to wandb && wandb sync
    """
    from octothinker.report.track import publish

    _check_run(folder)
    console().print(f"{publish(folder, to, project, watch):,} new rows sent to {to}.")


def recipes() -> None:
    """List the recipes that come with the package.

    \b
      octo recipes
    """
    from octothinker.cli import tables

    tables.recipes(console())
