"""The answer: one row a model (each seed, and pooled), the sentence above the table, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from octothinker.insight.compare import FIT, Estimate, Tally, Verdict, difference, estimate, verdict
from octothinker.report.collect import Answers, Run, collect

SIDE = {
    "sampled": ("sampled", "accuracy"),
    "greedy": ("greedy", "accuracy"),
    "boxed": ("sampled", "boxed"),
    "accuracy_given_box": ("sampled", "accuracy_given_box"),
    "length": ("sampled", "length"),
    "truncation": ("sampled", "truncation"),
}
"""Column -> (mode, measure): what the table says of a model before and after RL."""
TAIL = 10
"""RL steps at the end over which the rollouts' repetition rate is averaged for the verdict."""

Side = dict[str, Estimate | None]


@dataclass(frozen=True)
class Row:
    """One model on one problem set; `seeds` has one entry, or all that are finished for a pooled row."""

    init: str
    seeds: tuple[int, ...]
    n: int
    start: Side | None
    rl: Side | None
    gain: Estimate | None
    gain_greedy: Estimate | None
    over_base: Estimate | None
    """Sampled accuracy after RL, minus that of the base after RL; None for the base itself."""
    verdict: Verdict | None

    @property
    def pooled(self) -> bool:
        return len(self.seeds) > 1


def tallies(
    group: dict[tuple[str, int], Answers], init: str, seeds: Sequence[int], problems: str, mode: str
) -> list[Tally] | None:
    """A model's tallies, one a seed; None unless every seed has one."""
    found = [group[init, seed].tallies.get((problems, mode)) if (init, seed) in group else None for seed in seeds]
    return [t for t in found if t is not None] if found and all(t is not None for t in found) else None


def row(run: Run, init: str, seeds: tuple[int, ...], problems: str) -> Row:
    """Summary of one model over `seeds`, on one problem set."""
    before, after = ({mode: tallies(group, init, seeds, problems, mode) for mode in ("sampled", "greedy")}
                     for group in (run.evals, run.after_rl))  # fmt: skip
    base = tallies(run.after_rl, run.experiment.base, seeds, problems, "sampled")
    gains = {mode: _minus(after[mode], before[mode]) for mode in ("sampled", "greedy")}
    ours = after["sampled"]
    judged = None
    cut = estimate(ours, "truncation") if ours else None
    if gains["sampled"] and cut:
        judged = verdict(gains["sampled"], cut.value, _repetition(run, init, seeds), _validation(run, init, seeds))
    counted = next((t for side in (before, after) for t in side.values() if t), [])
    return Row(
        init=init,
        seeds=seeds,
        n=len({i for t in counted for i in t.ids}),
        start=_side(before),
        rl=_side(after),
        gain=gains["sampled"],
        gain_greedy=gains["greedy"],
        over_base=_minus(ours, base) if init != run.experiment.base else None,
        verdict=judged,
    )


def rows(run: Run, problems: str | None = None) -> list[list[Row]]:
    """For each model: the pooled row first (when two seeds or more are finished), then one row a seed, finished ones
    first."""
    problems = problems or run.main_set
    out = []
    for init in run.inits:
        seeds = run.experiment.seeds
        finished = tuple(s for s in seeds if (init, s) in run.evals and (init, s) in run.after_rl)
        pooled = [row(run, init, finished, problems)] if len(finished) > 1 else []
        order = [*finished, *(seed for seed in seeds if seed not in finished)]
        out.append(pooled + [row(run, init, (seed,), problems) for seed in order])
    return out


@dataclass(frozen=True)
class Headline:
    answer: str
    more: str


def headline(run: Run, table: list[list[Row]]) -> Headline:
    """The answer in one sentence, and what must be known with it; from the first row of each model."""
    base = run.experiment.base
    if run.experiment.rl is None:
        return Headline("This recipe has no RL: here are its models as they are.", "")
    if run.main_set in run.overlap:
        n, of = run.overlap[run.main_set]
        why = f"{n} of its {of} problems are RL prompts, so a gain on it may be memory. Evaluate on another set first."
        return Headline(f"No headline from {run.main_set}.", why)
    measured = [group[0] for group in table if group[0].verdict]
    if not measured:
        return Headline("Not known yet: no model has been measured before and after RL.", "")
    more = [f"RL on {r.init} itself: {_change(r)}." for r in measured if r.init == base]
    fit = [r for r in measured if r.verdict and r.verdict.word == FIT and r.init != base]
    if not fit:
        others = [f"{r.init}: {_change(r)}." for r in measured if r.init != base]
        return Headline("None, by the rule below.", " ".join([*others, *more]))
    best, *others_fit = sorted(fit, key=_after, reverse=True)
    assert best.start and best.rl and best.gain, "a verdict needs all three"
    start, after, gain = best.start["sampled"], best.rl["sampled"], best.gain
    assert start and after, "a gain needs both"
    answer = f"{best.init}: RL raises its sampled accuracy from {start.value:.0%} to {after.value:.0%}."
    lead = f"{gain.value * 100:+.0f} points, 95% interval {gain.low * 100:.0f} to {gain.high * 100:.0f}"
    if best.over_base:
        lead += f"; {best.over_base.value * 100:.0f} points above {base} after the same RL"
    rivals = [(r.init, over) for r in others_fit if (over := _over(run, best, r))]
    close = [name for name, over in rivals if over.low <= 0]
    if close:
        more.append(f"Too close to call against {' and '.join(close)} with this many problems and seeds.")
    behind = [(name, over) for name, over in rivals if over.low > 0]
    if behind:
        also = ", ".join(f"{name} ({over.value * 100:.0f} points behind)" for name, over in behind)
        more.append(f"Also fit for RL: {also}.")
    return Headline(answer, " ".join([lead + ".", *more]))


def _over(run: Run, a: Row, b: Row) -> Estimate | None:
    """Sampled accuracy after RL of one model minus another's, over the seeds that both have."""
    seeds = tuple(s for s in a.seeds if s in b.seeds)
    first, second = (tallies(run.after_rl, r.init, seeds, run.main_set, "sampled") for r in (a, b))
    return _minus(first, second)


def report_json(folder: Path) -> dict[str, Any]:
    """The report as data. Accuracies and other shares in 0..1, intervals at 95%, lengths in tokens, null: not measured.

    `runs` has one entry a model and seed, `pooled` one a model over its finished seeds (empty for a single seed). All
    on the main problem set, the first the recipe evaluates on; `mean_length` and `truncation` are those of the sampled
    answers after RL. `seconds` is the run's wall time as run.json has it, else the sum over its stages.
    """
    run = collect(folder)
    table = rows(run)
    top = headline(run, table)
    seconds = run.info.get("seconds")
    if seconds is None:
        seconds = sum(stage.manifest.get("seconds", 0.0) for stage in run.stages)
    return {
        "seconds": seconds,
        "set": run.main_set,
        "headline": f"{top.answer} {top.more}".strip(),
        "runs": [_entry(r) | {"seed": r.seeds[0]} for group in table for r in group if not r.pooled],
        "pooled": [_entry(r) | {"seeds": list(r.seeds)} for group in table for r in group if r.pooled],
        "notes": run.notes,
    }


def _entry(r: Row) -> dict[str, Any]:
    def values(side: Side | None) -> dict[str, float | None] | None:
        return {k: (e.value if (e := side[k]) else None) for k in ("sampled", "greedy", "boxed")} if side else None

    def interval(e: Estimate | None) -> list[float] | None:
        return [e.low, e.high] if e else None

    after = r.rl or {}
    length, cut = after.get("length"), after.get("truncation")
    return {
        "init": r.init,
        "n": r.n,
        "start": values(r.start),
        "rl": values(r.rl),
        "gain_sampled": r.gain.value if r.gain else None,
        "gain_ci": interval(r.gain),
        "gain_greedy": r.gain_greedy.value if r.gain_greedy else None,
        "gain_greedy_ci": interval(r.gain_greedy),
        "over_base": r.over_base.value if r.over_base else None,
        "over_base_ci": interval(r.over_base),
        "mean_length": length.value if length else None,
        "truncation": cut.value if cut else None,
        "verdict": r.verdict.word if r.verdict else "not measured",
    }


def _side(by_mode: dict[str, list[Tally] | None]) -> Side | None:
    if not any(by_mode.values()):
        return None
    return {k: (estimate(t, measure) if (t := by_mode[mode]) else None) for k, (mode, measure) in SIDE.items()}


def _minus(after: list[Tally] | None, before: list[Tally] | None) -> Estimate | None:
    return difference(after, before) if after and before else None


def _rl_metrics(run: Run, init: str, seeds: Sequence[int]) -> list[list[dict[str, Any]]]:
    return [stage.metrics for stage in run.of_kind("rl") if stage.init == init and stage.seed in seeds]


def _repetition(run: Run, init: str, seeds: Sequence[int]) -> float | None:
    last = [m.get("repetition") for metrics in _rl_metrics(run, init, seeds) for m in metrics[-TAIL:]]
    known = [value for value in last if value is not None]
    return fmean(known) if known else None


def _validation(run: Run, init: str, seeds: Sequence[int]) -> list[float]:
    """Validation accuracy by step, mean over seeds."""
    found = [[m.get("val_accuracy") for m in metrics] for metrics in _rl_metrics(run, init, seeds)]
    series = [[value for value in values if value is not None] for values in found]
    return [fmean(values) for values in zip(*series, strict=False)]


def _after(r: Row) -> float:
    return e.value if r.rl and (e := r.rl["sampled"]) else -1.0


def _change(r: Row) -> str:
    """`gains little (1% → 2%)`."""
    start, after = (r.start or {}).get("sampled"), (r.rl or {}).get("sampled")
    assert start and after and r.verdict, "called for measured rows only"
    return f"{r.verdict.word} ({start.value:.0%} → {after.value:.0%})"
