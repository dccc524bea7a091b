"""From graded samples to numbers that say how sure they are.

Samples of one problem are not independent, so what counts is the problem: intervals are Wilson intervals at the effective
number of samples, n_eff = p(1-p)/Var(p), the variance taken between problems (for greedy answers n_eff is their number).
Nothing is drawn at random there, and 0 of 40 is [0, 0.09], not [0, 0]. pass@k is bootstrapped over problems.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Z = 1.959964  # 95%
REPLICATES = 2000
Sample = dict[str, Any]
"""A row of samples.jsonl."""


def by_problem(samples: Iterable[Sample]) -> list[list[Sample]]:
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample["id"], []).append(sample)
    return list(groups.values())


def accuracy(problems: Sequence[Sequence[bool]]) -> tuple[float, float, float] | None:
    """(share of right samples, low, high at 95%) over problems with any number of graded samples; None: none graded."""
    counts = [(sum(samples), len(samples)) for samples in problems if samples]
    total = sum(n for _, n in counts)
    if not total:
        return None
    p = sum(c for c, _ in counts) / total
    variance = sum((c - p * n) ** 2 for c, n in counts) / total**2
    if p in (0.0, 1.0):  # nothing is known of how samples of one problem differ: each problem counts once
        return (p, *wilson(p, len(counts)))
    return (p, *wilson(p, min(p * (1 - p) / variance, total) if variance else total))


def wilson(p: float, n: float) -> tuple[float, float]:
    """95% interval of a share p of n trials (Wilson 1927); n need not be whole."""
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def pass_at_k(n: int, right: int, k: int) -> float:
    """Chance that k of a problem's n samples, drawn without replacement, hold a right one: 1 - C(n-c, k)/C(n, k).

    Unbiased for the chance that k fresh samples do (Chen et al. 2021, arXiv 2107.03374, eq. 1). Needs n >= k.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs 1 <= k <= n, and n={n}")
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def pass_at_k_interval(problems: Sequence[Sequence[bool]], k: int, seed: int = 0) -> tuple[float, float, float] | None:
    """(mean pass@k over problems, low, high): 95% percentile bootstrap over problems; None: no problem has k samples.

    Where all problems have the same pass@k there is nothing to draw from, and the Wilson interval stands in.
    """
    values = np.array([pass_at_k(len(s), sum(s), k) for s in problems if len(s) >= k])
    return _bootstrapped(values, seed) if len(values) else None


def _bootstrapped(values: np.ndarray, seed: int) -> tuple[float, float, float]:
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return (mean, *wilson(mean, len(values)))
    draws = np.random.default_rng(seed).integers(0, len(values), (REPLICATES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return mean, float(low), float(high)


def maj_at_k(problems: Sequence[Sequence[Sample]], k: int, seed: int = 0) -> tuple[float, float, float] | None:
    """(share of problems whose most frequent answer among k samples is right, low, high); None: nobody has k samples.

    Right answers count as one answer however they are written, others are told apart by their text; a tie goes to its
    members in equal parts, no answer never wins. For k < n the mean over 100 draws without replacement.
    """
    rng = np.random.default_rng(seed)
    values = []
    for group in problems:
        if len(group) < k:
            continue
        votes = [True if s["correct"] else s["extracted"] and "".join(s["extracted"].split()) for s in group]
        draws = [range(k)] if k == len(group) else [rng.permutation(len(group))[:k] for _ in range(100)]
        values.append(float(np.mean([_elected([votes[i] for i in draw]) for draw in draws])))
    if not values:
        return None
    return _bootstrapped(np.array(values), seed)


def _elected(votes: Sequence[Any]) -> float:
    counts = Counter(vote for vote in votes if vote)
    most = [vote for vote, count in counts.items() if count == max(counts.values())]
    return (True in most) / max(len(most), 1)


def measure(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """All measures of one mode's samples (results.json); None when there are none."""
    if not samples:
        return None
    problems = by_problem(samples)
    boxed = [s for s in samples if s["boxed"]]
    right = accuracy([_graded(group) for group in problems])
    given_box = accuracy([_graded(group) for group in by_problem(boxed)])
    return {
        "accuracy": right[0] if right else None,
        "ci": list(right[1:]) if right else None,
        "boxed": len(boxed) / len(samples),
        "accuracy_given_box": given_box[0] if given_box else None,
        "truncation": sum(s["finish"] == "length" for s in samples) / len(samples),
        "mean_length": sum(s["tokens"] for s in samples) / len(samples),
        "kinds": dict(sorted(Counter(s["kind"] for s in samples).items())),
        "graded": sum(s["correct"] is not None for s in samples),
        "samples": len(samples) / len(problems),
        "paper": _paper(problems),
    }


def _paper(problems: Sequence[Sequence[Sample]]) -> list[float] | None:
    """[accuracy, low, high] by the paper authors' own rule, faults and all (paper_rule.py); None where there is none."""
    right = accuracy([[s["paper"] for s in group if "paper" in s] for group in problems])
    return list(right) if right else None


def _graded(samples: Iterable[Sample]) -> list[bool]:
    return [s["correct"] for s in samples if s["correct"] is not None]


def summarise(samples: Sequence[Sample], pass_k: Sequence[int], seed: int) -> dict[str, Any]:
    """Results of one set: greedy and sampled side by side, pass@k, and the same by level."""
    modes = {mode: [s for s in samples if s["mode"] == mode] for mode in ("greedy", "sampled")}
    sampled = [_graded(group) for group in by_problem(modes["sampled"])]
    curve = {str(k): pass_at_k_interval(sampled, k, seed) for k in pass_k}
    majority = {str(k): maj_at_k(by_problem(modes["sampled"]), k, seed) for k in pass_k}
    names = {s["level"] for s in samples} - {""}
    levels = {
        level: {
            "n": len({s["id"] for s in samples if s["level"] == level}),
            **{mode: measure([s for s in group if s["level"] == level]) for mode, group in modes.items()},
        }
        for level in sorted(names, key=lambda level: (len(level), level))
    }
    return {
        "n": len({s["id"] for s in samples}),
        **{mode: measure(group) for mode, group in modes.items()},
        "pass_at_k": {k: list(value) for k, value in curve.items() if value is not None},
        "maj_at_k": {k: list(value) for k, value in majority.items() if value is not None},
        "by_level": levels,
    }
