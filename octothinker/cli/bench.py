"""`octo bench`: how fast, next to whom, and how far from what the machine can do."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from rich.console import Console
from rich.table import Table

from octothinker.cli.common import console
from octothinker.cli.units import amount
from octothinker.stage import EXIT_FAILED, EXIT_OK
from octothinker.typed import check

UNITS = {"bf16": "GFLOP/s", "fp32": "GFLOP/s", "bandwidth": "GB/s"}

Works = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WORK]...",
        help="rollout-nano, midtrain-smollm2-512, grpo, …, peak, nano, grading. Default: all models'.",
    ),
]
Vllm = Annotated[str, typer.Option(metavar="PATH", help="Python of the venv that has vLLM.")]
Smollm2 = Annotated[
    Path | None, typer.Option(metavar="DIR", help="From `octo import smollm2 DIR`. Default: imported anew.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--setting", metavar="NAME", help="A peer's setting, not the fastest of all. Repeat for more."),
]
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="corpus: folder with benchmarks.")]
Documents = Annotated[Path | None, typer.Option(metavar="DIR", help="corpus: documents of a step, for real texts.")]
TokenizerOf = Annotated[Path | None, typer.Option("--tokenizer", metavar="DIR", help="corpus: a tokenizer's folder.")]
Pages = Annotated[
    Path | None,
    typer.Option(
        "--pages", metavar="FILE", help="For classifier: pages with `url` and `text`, of octo corpus extract."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="For classifier: rows of `url`, `label` and `source` (site)."),
]


def bench(
    works: Works = None,
    runs: Annotated[int, typer.Option(min=1, help="Rounds of each side, taking turns.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each side. Default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as data; progress goes to stderr.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny sizes, seconds: does everything run?")] = False,
    profiled: Annotated[bool, typer.Option("--profile", help="Where our own time goes, by operator; no peer.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Against batch, length and model size instead.")] = False,
    setting: Setting = None,
    smollm2: Smollm2 = None,
    vllm_python: Vllm = ".venv-vllm/bin/python",
    data: Data = None,
    documents: Documents = None,
    tokenizer: TokenizerOf = None,
    pages: Pages = None,
    labels: Labels = None,
) -> None:
    """Our speed side by side with transformers, TRL and vLLM, and the floor that the machine sets.

    Each side in its own process, same weights, prompts and threads; medians and spread of the ratio.
    `make bench` installs the peers and runs it all.

    \b
      octo bench --smoke
      octo bench rollout-nano midtrain-nano --runs 9
      octo bench peak --threads 1
      octo bench nano                      octo run nano, whole, by the clock
      octo bench midtrain-nano-512 grpo-nano --profile
      octo bench grading                   our grader beside math-verify, mathruler and verl's
      octo bench --json > bench.json
      octo bench corpus dedup kill --data bench     the corpus's own steps; without names all of them
      octo bench extraction --pages crawl.warc.gz   formulas kept by ours and other extractors
      octo bench --curves rollout-nano --setting 'bf16 sdpa dynamic'
      octo bench classifier --pages pages.jsonl --labels index.jsonl
    """
    errors = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        errors.print(text, style="dim", markup=False, soft_wrap=True)

    if works and works[0] == "corpus":
        from octothinker.cli import bench_corpus

        bench_corpus.run(works[1:], data, documents, tokenizer, smoke, as_json, say)
        return
    if works == ["extraction"]:
        from octothinker.cli import bench_extraction

        bench_extraction.run(pages, smoke, as_json, errors)
        return
    if "classifier" in (works or []):
        classifier(list(works or []), pages, labels, as_json, say)
        return
    rows = Rows(as_json)
    failed, here = models(
        rows, list(works or []), runs, threads, smoke, profiled, curves, list(setting or []), smollm2, vllm_python, say
    )
    if as_json:
        typer.echo("]" if rows else "[]")
    else:
        table(console(), rows, here)
    raise typer.Exit(EXIT_FAILED if failed else EXIT_OK)


class Rows(list[dict[str, Any]]):
    """With `as_json` each row is printed as it comes: hours of measuring that are cut off lack the last bracket, no more."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def take(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            if self.as_json:
                typer.echo(("," if self else "[") + json.dumps(row, indent=1))
            self.append(row)


def models(
    rows: Rows,
    names: list[str],
    runs: int,
    threads: int | None,
    smoke: bool,
    profiled: bool,
    curves: bool,
    setting: list[str],
    smollm2: Path | None,
    vllm_python: str,
    say: Callable[[str], None],
) -> tuple[bool, str]:
    """`rows` takes those of the models' works and of the graders; returns whether a side failed, and what the machine can do."""
    from octothinker.bench import compare, floors, grading, machine
    from octothinker.bench import works as known
    from octothinker.bench.prepare import Bench

    if smoke or curves:  # many points: the peer's usual setting, and not all of them at each
        runs, setting = min(runs, 2 if smoke else 3), setting or ["first"]
    works_here = known.SMOKE if smoke else known.CURVES if curves else known.WORKS
    chosen = known.chosen([n for n in names if n not in known.ALONE], works_here) if names else list(works_here)
    threads = threads or os.cpu_count() or 1
    peaks = machine.peaks(threads, small=smoke)
    here = f"{threads} thread(s): " + ", ".join(f"{k} {v / 1e9:,.0f} {UNITS[k]}" for k, v in peaks.items())
    say(here)
    failed = False
    if "peak" in names:
        rows.take(compare.alone(f"peak {k}", v / 1e9, UNITS[k]) for k, v in peaks.items())
    if "nano" in names:
        rows.take([compare.whole_nano(say)])
    precision: Literal["fp32", "bf16"] = "bf16" if peaks["bf16"] >= peaks["fp32"] else "fp32"
    limits = floors.Machine(flops=peaks[precision], bandwidth=peaks["bandwidth"], precision=precision)
    with tempfile.TemporaryDirectory(prefix="octo-bench-") as folder:
        bench = Bench(Path(folder), threads, smollm2)
        if "grading" in names:
            rows.take(grading.compare_graders(bench, runs, smoke, say))
        for work in chosen:
            if profiled:
                from octothinker.bench.profile import profile

                rows.take(profile(bench, work, precision))
                continue
            try:
                rows.take(compare.compare(bench, work, limits, vllm_python, runs, setting, say))
            except compare.SideFailed as error:  # the other works are worth having
                failed = True
                say(f"{work.name}: {error}")
    return failed, here


def classifier(
    works: list[str], pages: Path | None, labels: Path | None, as_json: bool, say: Callable[[str], None]
) -> None:
    """`octo bench classifier`: no speed, so it has its own table."""
    from octothinker.bench.classifier import compare
    from octothinker.corpus.classify import Classifier

    check(works == ["classifier"], "octo bench classifier: measured alone")
    check(pages is not None, "octo bench classifier: name the pages with --pages, and --labels where they have none")
    rows = compare(cast(Path, pages), labels, Classifier(choose="f1"), say)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    screen, shown = console(), Table(box=None, pad_edge=False, header_style="dim")
    for column in ("classifier", "split", "F1", "95%", "reach", "precision", "recall", "ECE", "threshold"):
        shown.add_column(column, justify="left" if column in ("classifier", "split") else "right")
    for row in rows:
        held = row["held_out"]
        numbers = (held["f1"], row["reach"], held["precision"], held["recall"], row["ece"])
        f1, *cells = ["" if n is None else f"{n:.3f}" for n in numbers]
        spread = "{:.3f} to {:.3f}".format(*row["f1_interval"]) if row.get("f1_interval") else ""
        shown.add_row(row["preparation"], row["split"], f1, spread, *cells, f"{row['threshold']:g}")
    screen.print(shown)
    best = rows[0]
    sites = ", ".join(f"{name} {site['right']}/{site['documents']}" for name, site in best["sites"].items())
    screen.print(f"right by site (the first row, at {best['threshold']:g}): {sites}", markup=False, soft_wrap=True)
    screen.print(f"that threshold: {best['reason']}", markup=False, soft_wrap=True)


def table(screen: Console, rows: list[dict[str, Any]], here: str) -> None:
    """Nobody's speed without its floor and its spread."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("work", "peer", "its best setting", "ours", "theirs", "unit", "ratio", "spread", "reach"):
        shown.add_column(column, justify="left" if column in ("work", "peer", "its best setting", "unit") else "right")
    for column in ("floor", "of it", "peak MB, ours / theirs"):
        shown.add_column(column, justify="right")
    for row in rows:
        low_high = "" if row["spread"] is None else "{:.2f} to {:.2f}".format(*row["spread"])
        peaks = (
            "" if row["peak_mb"] == [None, None] else " / ".join("?" if p is None else f"{p:,}" for p in row["peak_mb"])
        )
        floor = row["floor"]
        shown.add_row(
            row["work"],
            f"{row['peer'] or ''}{' (missing)' if row.get('missing') else ''}",
            row["setting"] or "",
            amount(row["ours"]),
            "" if row["theirs"] is None else amount(row["theirs"]),
            row["unit"],
            "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            low_high,
            "" if row["reach"] is None else f"{row['reach']:g}",
            "" if floor is None else f"{amount(floor)} ({row['bound']})",
            "" if floor is None else f"{row['ours'] / floor:.1%}",
            peaks,
        )
    screen.print(shown)
    screen.print(f"[dim]{here}[/]")
    for why in dict.fromkeys(row["missing"] for row in rows if row.get("missing")):
        screen.print(why, markup=False, soft_wrap=True)
