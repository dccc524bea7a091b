"""What the charts show, as plain data: one dict a chart, drawn by templates/report.js with plotly.js.

    {"kind": "lines" | "dots", "title", "note", "x", "y", "smooth": bool, "series": [{"model", "seed", "x", "y", …}]}

`model` is an index into `models()`, so a model has one colour and one dash in every chart. Everything here is numbers
and names; no text that a model wrote goes into a chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from octothinker.insight.compare import Estimate
from octothinker.report.collect import Run, StageView
from octothinker.report.summary import Row

Chart = dict[str, Any]

# After Okabe & Ito's palette (distinguishable with any colour vision), lightened for a dark page; the base is grey.
# Dashes tell lines apart where colour cannot.
BASE_STYLE = ("#5f6672", "#a3abb8", "dot", "circle")
STYLES = (
    ("#0072b2", "#56b4e9", "dash", "square"),
    ("#d55e00", "#f08a4b", "solid", "diamond"),
    ("#00805c", "#2fc79a", "solid", "triangle-up"),
    ("#b0508c", "#e08fc0", "dashdot", "star"),
    ("#8a6d00", "#e6c229", "longdash", "hexagon"),
    ("#5b4bb7", "#a89cf5", "longdashdot", "cross"),
)

SHARE, NUMBER, TOKENS = ".2~%", ",.3~g", ",.0f"

MAIN = (
    ("reward", "Reward", "mean over a step's answers", NUMBER),
    ("accuracy", "Accuracy", "sampled, on a step's prompts", SHARE),
    ("val_accuracy", "Validation accuracy", "greedy, on the validation problems", SHARE),
    ("length_mean", "Response length", "tokens; dotted: the limit", TOKENS),
    ("truncation", "Truncation", "share of answers cut off at the limit", SHARE),
    ("entropy", "Entropy", "nats per token", NUMBER),
    ("boxed", "Boxed share", "answers with a complete box", SHARE),
)
MORE = (
    ("length_correct", "Length of correct answers", "tokens", TOKENS),
    ("val_length_correct", "Validation length", "tokens, correct answers", TOKENS),
    ("val_truncation", "Validation truncation", "greedy answers cut off", SHARE),
    ("repetition", "Repetition", "share of 8-grams that occurred before in the answer", SHARE),
    ("zero_variance", "Groups without variance", "prompts whose answers all got one reward", SHARE),
    ("no_box", "Without a box", "answers without a complete box", SHARE),
    ("undecided", "Undecided", "answers that the exact path leaves to guards and math-verify", SHARE),
    ("slow_true", "Right by math-verify", "of the right answers; a sudden rise is the sign of reward hacking", SHARE),
    ("timeouts", "Grader's timeouts", "answers that math-verify was killed over", NUMBER),
    ("clip_fraction", "Clip fraction", "tokens at the clip", SHARE),
    ("logp_gap", "Log-prob gap", "trainer against rollout, mean absolute, nats", NUMBER),
    ("kl_start", "KL to the start", "nats per token", NUMBER),
    ("grad_norm", "Gradient norm", "before clipping", NUMBER),
    ("limit", "Length limit", "tokens an answer may have", TOKENS),
)
"""Columns of RL's metrics.jsonl: (name, title, what it is, number format)."""
POINTS = 400
"""Points a line keeps; a longer one is averaged in equal bins."""


def models(run: Run) -> list[dict[str, str]]:
    """Colour, dash and symbol of every model: those that RL starts from, then the other mid-training stages."""
    names = list(dict.fromkeys([*run.inits, *(stage.name for stage in run.experiment.midtrain)]))
    base = run.experiment.base if run.experiment.base in names else names[0]
    others = [name for name in names if name != base]
    styles = {name: STYLES[i % len(STYLES)] for i, name in enumerate(others)} | {base: BASE_STYLE}
    keys = ("light", "dark", "dash", "symbol")
    return [{"name": name} | dict(zip(keys, styles[name], strict=True)) for name in names]


def charts(run: Run, table: list[list[Row]]) -> dict[str, Chart]:
    """Every chart of the report by its id; those without data are left out."""
    index = {m["name"]: i for i, m in enumerate(models(run))}
    out = {"answer": _answer(run, table, index)}
    for name, title, note, form in (*MAIN, *MORE):
        out[f"rl-{name}"] = _rl(run, index, name, title, note, form)
    out |= _midtrain(run, index) | _pass_k(run, index)
    return {name: chart for name, chart in out.items() if chart["series"]}


def _answer(run: Run, table: list[list[Row]], index: dict[str, int]) -> Chart:
    """Before and after RL, sampled and greedy, with intervals: one line a model."""
    series = []
    for group in table:
        head = group[0]
        for mode in ("sampled", "greedy"):
            points = [side.get(mode) if side else None for side in (head.start, head.rl)]
            series.append({"model": index[head.init], "mode": mode, "points": [_interval(p) for p in points]})
    note = "hollow: before RL, filled: after; bars are 95% intervals"
    return {"kind": "dots", "title": "Accuracy before and after RL", "note": note, "series": series}


def _interval(e: Estimate | None) -> list[float] | None:
    return [_short(e.value), _short(e.low), _short(e.high)] if e else None


def _rl(run: Run, index: dict[str, int], name: str, title: str, note: str, form: str) -> Chart:
    series = []
    for stage in run.of_kind("rl"):
        if stage.init:
            series += _series(index[stage.init], stage.seed, [(m["step"], m.get(name)) for m in stage.metrics])
    limited = run.of_kind("rl") if name == "length_mean" else []
    limits = sorted({tuple(_limits(stage)) for stage in limited if stage.metrics})
    return {
        "kind": "lines",
        "title": title,
        "note": note,
        "x": {"title": "RL step"},
        "y": {"format": form, "zero": name not in ("reward", "entropy")},
        "smooth": not name.startswith("val_") and name != "limit",
        "markers": name.startswith("val_"),
        "series": series,
        "limits": [{"x": [p[0] for p in line], "y": [p[1] for p in line]} for line in limits],
    }


def _limits(stage: StageView) -> list[tuple[int, float]]:
    """The length limit where it changes, and its last step."""
    known = [(m["step"], m["limit"]) for m in stage.metrics if m.get("limit") is not None]
    return [p for i, p in enumerate(known) if i in (0, len(known) - 1) or p[1] != known[i - 1][1]]


def _midtrain(run: Run, index: dict[str, int]) -> dict[str, Chart]:
    """Loss and learning rate against the tokens seen since the start model: a branch begins where it forks."""
    stages = {stage.name: stage for stage in run.experiment.midtrain}
    start: dict[str, float] = {}
    forks: dict[float, list[str]] = {}
    for name, stage in stages.items():
        if stage.parent is None:
            start[name] = 0.0
            continue
        parent = stages[stage.parent]
        fork = parent.steps * parent.tokens_per_step
        if stage.fork_step is not None:
            fork = stage.fork_step * parent.tokens_per_step
        start[name] = start[parent.name] + (stage.fork_tokens or fork)
        forks.setdefault(start[name], []).append(name)
    marks = [{"x": x, "label": "→ " + ", ".join(names)} for x, names in forks.items()]
    out = {}
    for key, title, note in (
        ("loss", "Loss", "nats per token, on each stage's own mixture"),
        ("lr", "Learning rate", ""),
    ):
        series = []
        for view in run.of_kind("midtrain"):
            if view.init:
                points = [(start[view.init] + m["tokens"], m.get(key)) for m in view.metrics]
                series += _series(index[view.init], view.seed, points)
        out[f"mid-{key}"] = {
            "kind": "lines",
            "title": title,
            "note": note,
            "x": {"title": "tokens since the start model"},
            "y": {"format": ",.4~g" if key == "loss" else ".2~g", "zero": key == "lr"},
            "smooth": False,
            "solid": True,
            "series": series,
            "marks": marks,
        }
    return out


def _pass_k(run: Run, index: dict[str, int]) -> dict[str, Chart]:
    """pass@k of the main set before and after RL, on one scale."""
    out: dict[str, Chart] = {}
    for name, title, group in (("before", "pass@k before RL", run.evals), ("after", "pass@k after RL", run.after_rl)):
        series = []
        for (init, seed), answers in group.items():
            curve = (answers.results.get(run.main_set) or {}).get("pass_at_k") or {}
            points = sorted((int(k), values[0]) for k, values in curve.items())
            series += _series(index[init], seed, points)
        out[f"pass-{name}"] = {
            "kind": "lines",
            "title": title,
            "note": "problems solved by at least one of k answers",
            "x": {"title": "k", "log": True},
            "y": {"format": SHARE, "zero": True},
            "smooth": False,
            "markers": True,
            "series": series,
        }
    tops = [y for chart in out.values() for s in chart["series"] for y in s["y"]]
    for chart in out.values():
        chart["y"]["max"] = min(1.0, max(tops, default=1.0) * 1.08)
    return out


def _series(model: int, seed: int | None, points: Iterable[tuple[float, float | None]]) -> list[dict[str, Any]]:
    """One line, or none where nothing was recorded."""
    known = [(x, y) for x, y in points if y is not None]
    if not known:
        return []
    size = -(-len(known) // POINTS)
    bins: list[Sequence[tuple[float, float]]] = [known[i : i + size] for i in range(0, len(known), size)]
    xs = [_short(bin[-1][0]) for bin in bins]
    ys = [_short(sum(y for _, y in bin) / len(bin)) for bin in bins]
    return [{"model": model, "seed": seed or 0, "x": xs, "y": ys}]


def _short(value: float) -> float:
    """Six digits: enough for any chart, and the page stays small."""
    return float(f"{value:.6g}")
