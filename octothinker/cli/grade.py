"""`octo grade | regrade`: verdicts on answers that lie in files, and on rollouts of a run under the present grader."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from octothinker.cli.common import console

Timeout = Annotated[float, typer.Option(help="Seconds for one verdict of math-verify.")]


def grade(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help='.jsonl or .parquet of {"id", "response", "gold", "kind"?}.')
    ],
    rule: Annotated[
        Literal["boxed", "benchmark", "whole"],
        typer.Option(
            help="boxed: as rewards. benchmark: anchor, box, last number. whole: free text (docs/grading.md)."
        ),
    ] = "boxed",
    places: Annotated[
        int | None, typer.Option(min=0, help="Numbers are rounded to so many decimal places; only with --rule whole.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the verdicts there, not to stdout.")] = None,
    timeout: Timeout = 2.0,
) -> None:
    """Is each response's answer the gold answer? One JSON line each: correct, kind, extracted, how, seconds.

    `kind` of a line is what its gold is: number, expression (the default) or choice. A summary goes to stderr.

    \b
      octo grade outputs.jsonl > verdicts.jsonl
      octo grade outputs.jsonl --rule whole --out verdicts.jsonl
    """
    from octothinker.config import Source
    from octothinker.data.documents import rows
    from octothinker.evals.outputs import grade_rows, summary
    from octothinker.grade.pool import Grader
    from octothinker.typed import check

    check(
        places is None or rule == "whole",
        "--places: only the rule `whole` rounds; a reward is paid for the exact value",
    )
    with Grader(timeout) as grader:
        grader.start()  # so that no line's time has it in it
        verdicts = grade_rows(rows(Source(path=file)), rule, grader, places)
        if out is None:
            done = summary(_each(verdicts))
        else:
            partial = out.with_name(out.name + ".tmp")
            with open(partial, "w", encoding="utf-8") as stream:
                done = summary(_each(verdicts, stream))
            os.replace(partial, out)
    table = Table(box=None, pad_edge=False, show_header=False)
    accuracy = "" if done["accuracy"] is None else f", {done['accuracy']:.1%}"
    table.add_row("right", f"{done['right']:,} of {done['graded']:,} graded{accuracy}")
    for title, counts in (("verdicts", done["kinds"]), ("decided by", done["how"])):
        table.add_row(title, ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda c: -c[1])))
    if done["n"]:
        table.add_row("time", f"median {done['p50']:.2g} s, p99 {done['p99']:.2g} s, longest {done['max']:.2g} s")
    Console(stderr=True, highlight=False).print(table)


def _each(verdicts: Iterator[dict[str, Any]], stream: Any = None) -> Iterator[dict[str, Any]]:
    """Every verdict, printed as it comes."""
    for verdict in verdicts:
        line = json.dumps(verdict, ensure_ascii=False)
        if stream is None:
            typer.echo(line)
        else:
            stream.write(line + "\n")
        yield verdict


def regrade(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder, or one RL stage's folder.")],
    show: Annotated[int, typer.Option(help="Changed responses to list, of each stage.")] = 5,
    out: Annotated[Path | None, typer.Option("--out", help="Every changed response, as JSON lines.")] = None,
    timeout: Timeout = 2.0,
) -> None:
    """Grade the stored rollouts of a run again: which rewards and advantages would be others under the present grader?

    \b
      octo regrade runs/nano
      octo regrade runs/nano --out flips.jsonl
    """
    from octothinker.grade.pool import Grader
    from octothinker.insight.regrade import regrade as regrade_run
    from octothinker.records import write_text

    screen, flips = console(), []
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("stage", "steps", "responses", "rewards up", "down", "advantages", "groups", "timeouts now"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    with Grader(timeout) as grader:
        for done in regrade_run(run, grader):
            numbers = (done.steps, done.responses, done.up, done.down, done.advantages, done.groups, done.timeouts)
            table.add_row(escape(done.stage), *(f"{n:,}" for n in numbers))
            flips += done.flips
            for flip in done.flips[:show]:
                then, now = flip["then"], flip["now"]
                text = f"step {flip['step']} {flip['id']} #{flip['sample']}: {then['reward']} {then['kind']} -> {now['reward']} "
                text += f"{now['kind']} ({now['how']}): {now['extracted']!r} for {flip['gold']!r}"
                screen.print(text, markup=False, soft_wrap=True)
    screen.print(table)
    if out is not None:
        write_text(out, "".join(json.dumps(flip, ensure_ascii=False) + "\n" for flip in flips))
