"""The paper's claims (PAPER: section "claims, as statements that can fail") against what this run measured.

A claim about a difference holds when its whole 95% interval lies on the claimed side, does not hold when the whole
interval lies on the other side, and is undecided when the interval includes zero; of several the worst decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from octothinker.insight.compare import COLLAPSED, FIT, LITTLE, UNSURE, Estimate, Tally, difference
from octothinker.report.collect import Run
from octothinker.report.summary import Row, tallies

Status = Literal["holds", "does not hold", "undecided", "not tested"]

UNTESTED = {
    "C2": "A good web-maths corpus makes RL work where a weaker one does not. Needs two corpora of different quality.",
    "C4": "10% short-CoT QA adds nothing over web text alone. Needs an arm without QA.",
    "C5": "10% long-CoT raises RL, then it collapses. Needs an arm at the full response limit from the first step.",
    "C6": "1% instruction data unlocks short-CoT. Needs arms with and without.",
    "C7": "Instruction data delays the long-CoT collapse, and does not prevent it. Needs arms with and without.",
    "C8": "The complex template bounds length spikes, in part. Needs RL under both templates.",
    "C9": "The length schedule stabilises RL. Needs a control at a fixed limit.",
    "C10": "More mid-training tokens give better RL. Needs branches at several budgets, alike in everything else.",
    "C11": "The source of QA matters at equal share. Needs branches that differ in the QA source alone.",
    "C12": "Gains level off at 30% QA. Needs branches at several QA shares.",
    "C14": "Long after RL equals Qwen2.5 after RL. Needs a second model family.",
}
"""What one run of stable, branches and RL cannot tell, and what would."""


@dataclass(frozen=True)
class Claim:
    name: str
    """The paper's number (C1 …), or `+` for a statement of our own that the paper leaves open."""
    says: str
    shown: str
    status: Status


def claims(run: Run, table: list[list[Row]]) -> list[Claim]:
    """The claims that this run speaks about, none without RL; see UNTESTED for the others."""
    if run.experiment.rl is None:
        return []
    heads = {group[0].init: group[0] for group in table}
    base = run.experiment.base
    parents = {stage.parent for stage in run.experiment.midtrain}
    branches = [init for init in run.inits if init != base and init not in parents]
    if not branches:
        return [_base(heads.get(base))]
    out = [
        _base(heads.get(base)),
        _branches([heads[b] for b in branches]),
        _greater("C1", f"Every branch ends above {base}, after the same RL.",
                 [(f"{b} over {base}", heads[b].over_base) for b in branches]),
        _greater("+", "RL raises greedy accuracy on every branch: it does more than sharpen sampling.",
                 [(b, heads[b].gain_greedy) for b in branches]),
    ]  # fmt: skip
    words = {word: b for b in branches for word in re.split(r"[^a-z]+", b.lower())}
    long, short = words.get("long"), words.get("short")
    if long and short:
        out += _long(run, heads, branches, long, short)
    return out


def _base(row: Row | None) -> Claim:
    says = "RL on the plain base is marginal or collapses."
    if not row or not row.verdict:
        return Claim("C1", says, "not measured yet", "not tested")
    word = row.verdict.word
    status: Status = "holds" if word in (LITTLE, COLLAPSED) else "undecided" if word == UNSURE else "does not hold"
    return Claim("C1", says, f"{row.init}: {word} ({row.verdict.reason})", status)


def _branches(branches: Sequence[Row]) -> Claim:
    says = "RL on a fit base gains much."
    words = [r.verdict.word for r in branches if r.verdict]
    if len(words) < len(branches):
        return Claim("C1", says, "not measured yet", "not tested")
    status: Status = "does not hold"
    if all(word in (FIT, UNSURE) for word in words):
        status = "holds" if UNSURE not in words else "undecided"
    shown = "; ".join(f"{r.init}: {r.verdict.word} ({r.verdict.reason})" for r in branches if r.verdict)
    return Claim("C1", says, shown, status)


def _greater(name: str, says: str, pairs: Sequence[tuple[str, Estimate | None]], unit: str = "points") -> Claim:
    """A claim that every one of the named differences is above zero."""
    known = [(label, e) for label, e in pairs if e is not None]
    if len(known) < len(pairs):
        return Claim(name, says, "not measured yet", "not tested")
    status: Status = "holds"
    if any(e.high < 0 for _, e in known):
        status = "does not hold"
    elif any(e.low <= 0 for _, e in known):
        status = "undecided"
    scale = 100 if unit == "points" else 1
    shown = "; ".join(f"{k}: {e.value * scale:+.1f} [{e.low * scale:.1f}, {e.high * scale:.1f}]" for k, e in known)
    return Claim(name, says, f"{shown} {unit}", status)


def _long(run: Run, heads: dict[str, Row], branches: list[str], long: str, short: str) -> list[Claim]:
    def minus(
        a: str, b: str, after: bool, measure: str = "accuracy", levels: Sequence[str] | None = None
    ) -> Estimate | None:
        seeds = tuple(s for s in heads[a].seeds if s in heads[b].seeds)
        group = run.after_rl if after else run.evals
        sides: list[list[Tally] | None] = [tallies(group, init, seeds, run.main_set, "sampled") for init in (a, b)]
        if not sides[0] or not sides[1]:
            return None
        first, second = ([t.at(levels) if levels else t for t in side] for side in (sides[0], sides[1]))
        return difference(first, second, measure)

    others = [b for b in branches if b != long]
    hard = run.levels[len(run.levels) // 2 :]
    lower = [(f"{short} over {long}", minus(short, long, False))]
    best = [(f"{long} over {b}", minus(long, b, True)) for b in others]
    longest = [(f"{long} over {b}", minus(long, b, True, "length")) for b in others]
    out = [
        _greater("C13", f"{long} is lower than {short} before RL.", lower),
        _greater("C13", f"{long} is the best branch after RL.", best),
        _greater("C13", f"{long} writes the longest answers after RL.", longest, "tokens"),
    ]
    if len(run.levels) > 1:
        pairs = [(f"level {level}", minus(long, short, True, levels=[level])) for level in hard]
        says = f"{long} beats {short} after RL where problems are harder (upper half of the levels)."
        out.append(_greater("+", says, pairs))
    return out
