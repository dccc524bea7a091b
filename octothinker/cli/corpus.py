"""`octo corpus build | plan | extract | report | rank | export`: from web archives to the shards that mid-training reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.tree import Tree

from octothinker.cli import corpus_extract
from octothinker.cli.common import Only, Out, Set, console, ended, watched
from octothinker.typed import ConfigError

if TYPE_CHECKING:
    from octothinker.corpus.recipe import Corpus

app = typer.Typer(no_args_is_help=True, help="Web archives to training shards, measured at every step.")
app.command("extract")(corpus_extract.extract)

Recipe = Annotated[str, typer.Argument(metavar="CORPUS", help="CORPUS.py[:function], corpus.json, or a recipe's name.")]
Arg = Annotated[
    list[str] | None, typer.Option("--arg", metavar="NAME=VALUE", help="Argument of the recipe's function. Repeat.")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder of a corpus.")]


def _resolve(recipe: str, arg: list[str] | None, settings: list[str] | None, out: Path | None) -> tuple[Corpus, Path]:
    from octothinker.typed import override

    try:
        from octothinker.corpus_graph import RECIPE, find
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not here: pip install octothinker[corpus]") from error
    args: dict[str, Any] = {}
    for text in arg or []:
        name, sep, value = text.partition("=")
        if not sep:
            raise ConfigError(f"--arg {text!r}: write NAME=VALUE")
        try:
            args[name] = json.loads(value)
        except json.JSONDecodeError:
            args[name] = value
    corpus = override(find(recipe, args), settings or [])
    own = Path(recipe).parent if Path(recipe).name == RECIPE else Path("runs") / corpus.name
    return corpus, out or own


@app.command()
def build(recipe: Recipe, arg: Arg = None, settings: Set = None, out: Out = None, only: Only = None) -> None:
    """Run every step that is not done yet, then report what became of the documents.

    Stopped, killed or failed, the same command goes on; a changed field reruns what it changes and nothing else.

    \b
      octo corpus build corpus.py
      octo corpus build corpus.py --set filters.min_words=50 --only dedup
      octo corpus build megamath-web --arg pages='crawl/*.warc.gz' --arg tokenizer=llama
      octo corpus build runs/mine/corpus.json --set engine.executor=slurm --set engine.partition=cpu
    """
    from octothinker.cli import tables
    from octothinker.corpus_graph import RECIPE, build_corpus, shards_of
    from octothinker.report.corpus import write_report

    corpus, folder = _resolve(recipe, arg, settings, out)
    screen, outcome = watched(lambda watcher: build_corpus(corpus, folder, watcher, only or (), sys.argv))
    ended(screen, outcome, f"octo corpus build {folder / RECIPE}", lambda: tables.results(screen, folder))
    for name, shards in shards_of(folder).items():
        screen.print(f"Shards of {name}: {shards}", soft_wrap=True)
    screen.print(f"Report: {write_report(folder)}", soft_wrap=True)
    raise typer.Exit(outcome.code)


@app.command()
def plan(recipe: Recipe, arg: Arg = None, settings: Set = None, out: Out = None) -> None:
    """Show the steps as a tree: what is done, what is missing, and which field made a step stale. Runs nothing.

    \b
      octo corpus plan corpus.py
    """
    from octothinker.corpus_graph import expand
    from octothinker.plan import state_of
    from octothinker.stage import Stage

    corpus, folder = _resolve(recipe, arg, settings, out)
    tree = Tree(f"[bold]{escape(corpus.name)}[/]  [dim]{escape(str(folder))}[/]")
    nodes: dict[str, Tree] = {}
    for stage in expand(corpus, folder / "fingerprints.json" if folder.exists() else None):
        comes_from = stage.inputs.get("documents")
        above = nodes[comes_from.name] if isinstance(comes_from, Stage) else tree
        word, why = state_of(stage, folder)
        nodes[stage.name] = above.add(
            f"{escape(stage.name)}  {word}" + "".join(f"\n[yellow]{escape(w)}[/]" for w in why)
        )
    console().print(tree)
    if corpus.note:
        console().print(f"[dim]{escape(corpus.note)}[/]", soft_wrap=True)


@app.command()
def report(folder: Folder) -> None:
    """Write report.html of a corpus, finished or not: the funnel, reasons, samples kept and dropped. It opens offline.

    \b
      octo corpus report runs/mine
    """
    from octothinker.report.corpus import write_report

    console().print(f"Report: {write_report(folder)}", soft_wrap=True)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="SHARDS", help="A folder of finished shards.")],
    to: Annotated[Literal["datatrove", "megatron"], typer.Option(help="datatrove's .ds, or Megatron's .bin and .idx.")],
    out: Annotated[Path, typer.Option("--out", help="The files' path, without suffix.")],
) -> None:
    """Write shards in the form that another trainer reads.

    \b
      octo corpus export runs/mine/stages/shards.text-… --to megatron --out export/text
    """
    from octothinker.corpus.export import export as write

    for path in write(folder, out, to):
        console().print(str(path), soft_wrap=True)


@app.command()
def rank(
    candidates: Annotated[list[str], typer.Argument(metavar="A B …", help="Candidate sources: documents, or shards.")],
    model: Annotated[str, typer.Option(help="The stable checkpoint that every anneal starts from.")],
    control: Annotated[str, typer.Option(help="The source that all are mixed into.")],
    tokens: Annotated[int, typer.Option(help="Of each anneal.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder.")],
    benchmarks: Annotated[str, typer.Option(metavar="A,B", help="Benchmarks, or files of your own.")] = "gsm8k",
    data: Annotated[Path | None, typer.Option(help="Folder with the benchmarks.")] = None,
    share: Annotated[float, typer.Option(help="Of a candidate in its mixture.")] = 0.3,
    seeds: Annotated[str, typer.Option(metavar="0,1,2")] = "0",
    limit: Annotated[int | None, typer.Option(help="The first problems of each set.")] = None,
    few_shot: Annotated[bool, typer.Option("--few-shot", help="The benchmark's own exemplars.")] = False,
    samples: Annotated[int, typer.Option(help="Sampled answers a problem, beside the greedy one.")] = 0,
    max_tokens: Annotated[int, typer.Option(help="Of an answer.")] = 512,
    seq_len: Annotated[int, typer.Option()] = 1024,
    batch_size: Annotated[int, typer.Option(help="Sequences a step.")] = 8,
    lr: Annotated[float, typer.Option(help="Peak learning rate; it falls linearly to zero.")] = 2e-5,
    settings: Set = None,
) -> None:
    """Anneal one checkpoint on each candidate mixed into a control, and rank them by what the evaluation gains.

    \b
      octo corpus rank web.jsonl qa.jsonl --control prose.jsonl --model runs/mid/stages/midtrain.stable…
           --tokens 5000000 --benchmarks gsm8k,math500 --data bench --few-shot --seeds 0,1,2 --out runs/rank
    """
    from octothinker.cli import tables
    from octothinker.config import Eval, Source
    from octothinker.corpus_rank import experiment, ranking
    from octothinker.evals.benchmarks import problems
    from octothinker.runner import run_experiment
    from octothinker.typed import override

    names: dict[str, Source] = {}
    for path in candidates:
        name = Path(path.rstrip("/")).name.split(".jsonl")[0].replace(".", "-")  # a dot would part a --set
        if name in names:
            raise ConfigError(f"two candidates are called {name!r}; rename one")
        names[name] = Source(path=path)
    sets = [name.strip() for name in benchmarks.split(",") if name.strip()]
    asked = {"template": "few_shot", "answer": "benchmark"} if few_shot else {}
    whole = experiment(
        model,
        Source(path=control),
        names,
        {name: problems(name, data) for name in sets},
        Eval(problems=tuple(sets), samples=samples, limit=limit, max_tokens=max_tokens, **asked),  # type: ignore[arg-type]
        tokens,
        share,
        [int(seed) for seed in seeds.split(",")],
        seq_len,
        batch_size,
        lr,
    )
    whole = override(whole, settings or [])
    screen, outcome = watched(lambda watcher: run_experiment(whole, out, watcher, argv=sys.argv))
    ended(screen, outcome, f"octo run {out / 'experiment.json'}", lambda: None)
    tables.ranking(screen, ranking(out))
    raise typer.Exit(outcome.code)
