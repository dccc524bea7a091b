"""Trees and tables in the terminal. Everything shown is read from records, run folders or the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from octothinker.cli.live import info, progress, rate
from octothinker.cli.units import amount, duration, size
from octothinker.config import Experiment
from octothinker.corpus_rank import Ranked
from octothinker.plan import Row, model_shape, total_seconds
from octothinker.records import read_json
from octothinker.stage import Stage, running

COLOURS = {
    "cached": "green",
    "done": "green",
    "stale": "yellow",
    "resumes": "cyan",
    "running": "cyan",
    "failed": "red",
    "interrupted": "yellow",
}


def _state(name: str) -> str:
    return f"[{COLOURS.get(name, 'dim')}]{name}[/]"


def plan_tree(
    console: Console, experiment: Experiment, rows: Sequence[Row], out: Path, peak: float, devices: int, jobs: int
) -> None:
    model = model_shape(experiment)
    shape = f"{amount(model.num_parameters)} parameters" if model else "model not here: no sizes"
    tree = Tree(f"[bold]{escape(experiment.name)}[/]  {shape}  [dim]{escape(str(out))}[/]")
    nodes: dict[str, Tree] = {}
    for row in rows:
        main = next((row.stage.inputs[r] for r in ("model", "parent") if r in row.stage.inputs), None)
        group = "data" if row.stage.seed is None else f"seed {row.stage.seed}"
        if isinstance(main, Stage):
            branch = nodes[main.name]
        else:
            branch = nodes.setdefault(group, tree.add(f"[bold]{group}[/]")) if group not in nodes else nodes[group]
        nodes[row.stage.name] = branch.add(_plan_line(row))
    console.print(tree)
    todo = [row for row in rows if row.state != "cached"]
    flops = sum(row.cost.train_flops + row.cost.decode_flops for row in todo)
    memory = max((row.cost.memory for row in rows), default=0.0)
    console.print(
        f"\n{len(rows) - len(todo)} of {len(rows)} stages cached. To do: {flops:.1e} FLOPs, up to "
        f"{size(memory)} of memory a device, about {duration(total_seconds(todo, jobs))} "
        f"[dim]({devices} device{'s' * (devices > 1)} of {amount(peak)}FLOP/s, {jobs} stage{'s' * (jobs > 1)} at once; "
        "estimates; RL and evaluation at half their longest responses, reading and tokenising not counted)[/]",
        soft_wrap=True,
    )
    if experiment.note:
        console.print(f"[dim]{escape(experiment.note)}[/]", soft_wrap=True)


def _plan_line(row: Row) -> str:
    cost = row.cost
    numbers = [
        f"{amount(cost.tokens)} tokens" if cost.tokens else "",
        f"{cost.steps:,} steps" if cost.steps else "",
        f"{cost.train_flops + cost.decode_flops:.1e} FLOPs" if cost.train_flops + cost.decode_flops else "",
        size(cost.memory) if cost.memory else "",
        f"~{duration(row.seconds)}" if row.state != "cached" and cost.train_flops + cost.decode_flops else "",
    ]
    line = f"{escape(row.stage.name)}  {_state(row.state)}  {'  '.join(n for n in numbers if n)}"
    if cost.note:
        line += f"\n[dim]{escape(cost.note)}[/]"
    for why in row.why:
        line += f"\n[yellow]{escape(why)}[/]"
    if row.warning:
        line += f"\n[yellow]warning: {escape(row.warning)}[/]"
    return line


def status(console: Console, out: Path) -> int:
    """Print the stages of a run folder, each model's under the one it comes from; returns how many have failed."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("stage", "state", "done", "rate", "", "time"):
        table.add_column(column)
    failed = 0
    for depth, row in _tree(read_json(out / "plan.json")):
        name = "  " * depth + row["name"]
        folder = out / row["folder"]
        tmp = folder.with_name(folder.name + ".tmp")
        state, last = "waiting", progress(tmp)
        share = f"{last['done'] / max(last['total'], 1):.0%}" if last else ""
        if (folder / "manifest.json").exists():
            manifest = read_json(folder / "manifest.json")
            table.add_row(name, _state("done"), "", "", "", duration(manifest["seconds"]))
            continue
        if running(tmp):
            left = f"{duration(last['eta_seconds'])} left" if last and last["eta_seconds"] is not None else ""
            table.add_row(name, _state("running"), share, rate(last), escape(info(last)), left)
            continue
        if (tmp / "error.txt").exists():
            failed += 1
            reason = (tmp / "error.txt").read_text(encoding="utf-8").split("\n", 1)[0]
            table.add_row(name, _state("failed"), share, "", escape(reason), "")
            continue
        state = "interrupted" if tmp.exists() else "waiting"
        table.add_row(name, _state(state), share, "", "", "")
    console.print(table)
    return failed


def _tree(rows: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of plan.json with their depth, each model's stages right under the one that they come from."""
    names = {row["name"] for row in rows}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        comes_from = next(
            (row["inputs"][role] for role in ("parent", "model", "documents") if role in row["inputs"]), None
        )
        below.setdefault(comes_from if comes_from in names else None, []).append(row)

    def walk(name: str | None, depth: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in below.get(name, []):
            yield depth, row
            yield from walk(row["name"], depth + 1)

    yield from walk(None, 0)


def summary(console: Console, out: Path) -> None:
    """The table at the end of a run: models before and after RL when there was RL, else what each stage gave."""
    experiment = read_json(out / "experiment.json")
    if not experiment["rl_from"] or not experiment["eval"]["problems"]:
        results(console, out)
        return
    from octothinker.report.summary import report_json

    data = report_json(out)
    table = Table(
        title=escape(str(data["headline"])), title_justify="left", box=None, pad_edge=False, header_style="dim"
    )
    for column in (
        "model",
        "seed",
        "before RL",
        "after RL",
        "gain, 95% interval",
        "greedy",
        "length",
        "truncated",
        "verdict",
    ):
        table.add_column(column, justify="left" if column in ("model", "verdict") else "right")
    for row in data["runs"]:
        before, after = row["start"] or {}, row["rl"] or {}
        low, high = (100 * bound for bound in row["gain_ci"] or (0.0, 0.0))
        gain = f"{100 * row['gain_sampled']:+.1f}  ({low:+.1f} to {high:+.1f})" if row["gain_ci"] else "?"
        length = "?" if row["mean_length"] is None else f"{row['mean_length']:.0f}"
        greedy = f"{_percent(before.get('greedy'))} → {_percent(after.get('greedy'))}"
        table.add_row(
            row["init"],
            str(row["seed"]),
            _percent(before.get("sampled")),
            _percent(after.get("sampled")),
            gain,
            greedy,
            length,
            _percent(row["truncation"]),
            escape(row["verdict"]),
        )
    console.print()
    console.print(table)


def results(console: Console, out: Path) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    measured = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("stage", "time", "result"):
        table.add_column(column)
    for column in (
        "set",
        "n",
        "greedy (95%)",
        "paper's rule",
        "sampled (95%)",
        "boxed",
        "truncated",
        "length",
        "wrong because",
    ):
        measured.add_column(column, justify="left" if column in ("set", "wrong because") else "right", no_wrap=True)
    protocol = ""
    for row in read_json(out / "plan.json"):
        file = out / row["folder"] / "manifest.json"
        if not file.exists():
            continue
        manifest = read_json(file)
        plain = {k: v for k, v in manifest["result"].items() if isinstance(v, (int, float))}
        text = "  ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v:.4g}" for k, v in plain.items())
        folder = f"[dim]{escape(str(file.parent))}[/]" if row["kind"] in ("midtrain", "rl", "eval") else ""
        gone = manifest["result"].get("dropped") or {}
        if isinstance(gone, dict) and gone:
            most = sorted(gone.items(), key=lambda item: -item[1])
            text += "\ndropped: " + ", ".join(f"{reason} {number:,}" for reason, number in most[:6])
        table.add_row(row["name"], duration(manifest["seconds"]), "\n".join(t for t in (escape(text), folder) if t))
        if row["kind"] == "eval":
            results = read_json(file.parent / "results.json")
            protocol = _protocol(results["protocol"])
            for name, found in results["sets"].items():
                any_mode = found["sampled"] or found["greedy"]
                of_paper = found["greedy"]["paper"] if found["greedy"] else None
                scores = [
                    _accuracy(found["greedy"]),
                    _percent(of_paper[0]) if of_paper else "",
                    _accuracy(found["sampled"]),
                ]
                missed = {k: n for k, n in any_mode["kinds"].items() if k != "equal"}
                why = "  ".join(f"{kind} {n}" for kind, n in sorted(missed.items(), key=lambda item: -item[1]))
                shares = [_percent(any_mode[key]) for key in ("boxed", "truncation")]
                length = f"{any_mode['mean_length']:.0f}"
                measured.add_row(escape(name), str(found["n"]), *scores, *shares, length, why)
    console.print(table)
    if measured.row_count:
        console.print()
        console.print(measured)
        console.print(f"[dim]{escape(protocol)}[/]", soft_wrap=True)


def _protocol(p: dict[str, Any]) -> str:
    """The settings that every score of an evaluation has in common."""
    rule = "each benchmark's own answer rule" if p["answer"] == "benchmark" else "last complete box only"
    small = (
        f" ({p['samples_small']} on sets of at most 100 problems)" if p.get("samples_small", 0) > p["samples"] else ""
    )
    sampled = (
        f"{p['samples']} samples a problem{small} at temperature {p['temperature']}" if p["samples"] or small else ""
    )
    limit = f"the first {p['limit']} problems" if p["limit"] else "all problems"
    parts = [f"template {p['template']!r}", rule, "greedy", sampled, f"{p['max_tokens']} tokens", limit, p["precision"]]
    return ", ".join(part for part in parts if part) + f", seed {p['seed']}; intervals are clustered by problem"


def _accuracy(measure: dict[str, Any] | None) -> str:
    if not measure or measure["accuracy"] is None:
        return ""
    low, high = measure["ci"]
    return f"{_percent(measure['accuracy'])} ({100 * low:.1f} to {100 * high:.1f})"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f}%"


def ranking(console: Console, rows: Sequence[Ranked]) -> None:
    """Candidate sources, the best gain over the control first."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("set", "", "source", "accuracy (95%)", "gain over control (95%)"):
        table.add_column(column, justify="right" if "95" in column else "left")
    for row in rows:
        a, g = row.accuracy, row.gain
        accuracy = f"{100 * a.value:.1f}% ({100 * a.low:.1f} to {100 * a.high:.1f})"
        gain = f"{100 * g.value:+.1f} ({100 * g.low:+.1f} to {100 * g.high:+.1f})" if g else ""
        table.add_row(escape(row.set), row.mode, escape(row.source), accuracy, gain)
    console.print(table)


def recipes(console: Console) -> None:
    from octothinker.recipes import RECIPES, find

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("recipe", "what it is"):
        table.add_column(column)
    for name in RECIPES:
        table.add_row(name, escape(find(name).note.split("\n", 1)[0]))
    console.print(table)
