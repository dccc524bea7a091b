"""`octo eval | eval-diff | contamination`: a model's scores, what changed between two, and what they may be worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from octothinker.cli.common import OneOut, Set, console, go
from octothinker.cli.single import Precision, Seed, Template, chosen
from octothinker.typed import ConfigError, override

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder with NAME/test.jsonl or NAME.jsonl for each. Default: the hub.")
]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A Hugging Face folder, owner/name@revision, or http://HOST:PORT/v1#NAME."
        ),
    ],
    out: OneOut,
    data: Data = None,
    suite: Annotated[
        Literal["paper", "full", "quick"] | None,
        typer.Option(help="paper: its few-shot sets. full: every set, zero-shot, sampled. quick: a first look."),
    ] = None,
    benchmarks: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names, or files of your own with question and answer.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="The first problems of each. Default: all.")] = None,
    few_shot: Annotated[
        bool,
        typer.Option("--few-shot", help="The benchmark's own exemplars and answer rule.", rich_help_panel="Prompt"),
    ] = False,
    template: Template = "simple",
    samples: Annotated[
        int | None,
        typer.Option(help="Sampled answers a problem; the greedy one comes on top. Default: 0, or the suite's."),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Limit of an answer. Default: 1024, or the suite's.")] = None,
    precision: Precision = "auto",
    seed: Seed = 0,
    settings: Set = None,
) -> None:
    """Measure a model on benchmarks: accuracy with an interval, boxed answers, truncation, pass@k.

    Killed, it goes on with what is there when the same command is typed again; finished, it costs nothing.

    \b
      octo eval smollm2 --suite paper --data bench --limit 100 --out runs/paper
      octo eval smollm2 --benchmarks gsm8k,math500 --data bench --few-shot --out runs/eval
      octo eval http://localhost:8000/v1#my-model --suite full --out runs/full
    """
    from octothinker.config import Eval, Experiment, StartModel
    from octothinker.evals.benchmarks import available, problems
    from octothinker.evals.suites import SUITES

    if suite is not None:
        if benchmarks is not None or few_shot or template != "simple":
            raise ConfigError(
                "--suite names the sets and how they are asked; leave --benchmarks, --few-shot, --template out"
            )
        config = SUITES[suite]
        here = tuple(name for name in config.problems if available(name, data))
        missing = [name for name in config.problems if name not in here]
        if missing:
            console().print(f"Not here, left out: {', '.join(missing)}")
        config = replace(config, problems=here)
    else:
        names = tuple(name.strip() for name in (benchmarks or "gsm8k").split(",") if name.strip())
        asked = ("few_shot", "benchmark") if few_shot else (template.replace("\\n", "\n"), "boxed")
        config = Eval(problems=names, samples=0, template=asked[0], answer=asked[1])  # type: ignore[arg-type]
    config = replace(
        config,
        limit=config.limit if limit is None else limit,
        samples=config.samples if samples is None else samples,
        max_tokens=config.max_tokens if max_tokens is None else max_tokens,
        precision=chosen(precision),
    )
    experiment = Experiment(
        name="eval",
        seeds=(seed,),
        model=StartModel(path=model),
        sources={},
        problems={name: problems(name, data) for name in config.problems},
        midtrain=(),
        eval=config,
    )
    go(override(experiment, settings or []), out)


def eval_diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of an evaluation, or of the run that made it.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    show: Annotated[int, typer.Option(help="Changed problems to list, of each set.")] = 10,
) -> None:
    """Which problems changed between two evaluations, and could that be luck? Paired by problem.

    \b
      octo eval-diff runs/before runs/after
    """
    from octothinker.insight.diff import diff, protocol_gap

    screen = console()
    for text in protocol_gap(a, b):
        screen.print(f"[yellow]not the same protocol, {escape(text)}[/]", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("set", "", "n", "A", "B", "B - A (95%)", "p", "up", "down"):
        table.add_column(column, justify="left" if column in ("set", "") else "right")
    changes = diff(a, b)
    for c in changes:
        gap = f"{100 * c.gap.value:+.1f} ({100 * c.gap.low:+.1f} to {100 * c.gap.high:+.1f})"
        values = (f"{100 * c.a:.1f}%", f"{100 * c.b:.1f}%", gap, f"{c.p:.3g}", str(len(c.up)), str(len(c.down)))
        table.add_row(escape(c.set), c.mode, str(c.n), *values)
    screen.print(table)
    for c in changes:
        for word, ids in (("up", c.up), ("down", c.down)):
            if ids and show:
                more = f" and {len(ids) - show} more" if len(ids) > show else ""
                screen.print(f"{c.set} {c.mode}, {word}: {', '.join(ids[:show])}{more}", markup=False, soft_wrap=True)


def contamination(
    texts: Annotated[list[str], typer.Argument(metavar="FILE...", help=".jsonl or .parquet, folders, globs, hf://…")],
    data: Data = None,
    benchmarks: Annotated[str | None, typer.Option(metavar="A,B", help="Default: all that are there.")] = None,
    field: Annotated[str | None, typer.Option(help="Field to search. Default: every text of a row.")] = None,
    words: Annotated[int, typer.Option(help="Words in a row that make a match.")] = 13,
    out: Annotated[Path | None, typer.Option(help="Every match with its text, as JSON lines.")] = None,
) -> None:
    """Do these texts hold test problems? Exact matches after normalising, and n words in a row, with the text as evidence.

    \b
      octo contamination math8k/train.jsonl --data bench
      octo contamination corpus/ --data bench --words 8 --out matches.jsonl
    """
    import json

    from octothinker.config import Source
    from octothinker.data.documents import rows
    from octothinker.data.overlap import Index, find
    from octothinker.data.problems import read_problems
    from octothinker.evals.benchmarks import available, names, problems
    from octothinker.records import write_text

    wanted = [n.strip() for n in benchmarks.split(",")] if benchmarks else [n for n in names() if available(n, data)]
    sets = {name: [(p.id, p.question) for p in read_problems(problems(name, data))] for name in wanted}
    index = Index(sets, words)
    documents = (
        (row.where, "\n".join(str(v) for k, v in row.fields.items() if isinstance(v, str) and field in (None, k)))
        for path in texts
        for row in rows(Source(path=path))
    )
    found = list(find(index, documents))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("set", "problems", "found", "of these whole", "share"):
        table.add_column(column, justify="left" if column == "set" else "right")
    for name, rows_ in sets.items():
        hit = {m.problem for m in found if m.set == name}
        whole = {m.problem for m in found if m.set == name and m.exact}
        table.add_row(escape(name), str(len(rows_)), str(len(hit)), str(len(whole)), f"{len(hit) / len(rows_):.1%}")
    console().print(table)
    if out is not None:
        write_text(out, "".join(json.dumps(vars(match), ensure_ascii=False) + "\n" for match in found))
