"""How far apart are two models, how sure is that, and what to call it.

    eval samples -> Tally (sums of each problem) -> estimate / difference (value with a 95% interval) -> verdict

**Intervals** are paired cluster bootstraps. What is resampled is the *problem*, with all its samples and on both
sides of a comparison at once: samples of one problem are not independent, and an easy problem is easy before and
after. Percentiles of 4,000 replicates from one fixed seed, so the same samples always give the same interval.
- Shares get four pseudo-problems of half weight, (right, right), (right, wrong), (wrong, right), (wrong, wrong), in
  the replicates, never in the value (Agresti & Min 2005): 0 right of 200 is [0, 0.02] and not [0, 0].
- Several seeds are pooled with equal weight. They answer the same problems, so a replicate draws the problems once
  for all seeds; the spread between seeds is added in quadrature, and the whole is widened by Student's t over the
  normal quantile, at Satterthwaite's degrees of freedom, (S-1) / (the seeds' share of the variance)^2. So seeds that
  agree cost little, and three that scatter give the wide interval that three numbers deserve. Where seeds differ by
  10 points, on 200 problems of 8 samples, it covers the truth in 91% of the cases; a bootstrap that resamples the
  three seeds, in 82%.
- One seed: the interval tells the luck of the problems, not the luck of training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

REPLICATES = 4_000
LEVEL = 0.95
COLUMNS = ("samples", "graded", "right", "boxed", "boxed_graded", "boxed_right", "truncated", "tokens")
MEASURES = {
    "accuracy": ("right", "graded"),
    "boxed": ("boxed", "samples"),
    "accuracy_given_box": ("boxed_right", "boxed_graded"),
    "truncation": ("truncated", "samples"),
    "length": ("tokens", "samples"),
}
"""Each is a ratio of two sums over problems; answers that could not be graded are in neither sum of accuracy."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval; accuracies and other shares in 0..1, lengths in tokens."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Tally:
    """Per problem sums over its samples: `sums` (problems, len(COLUMNS)) float64, rows in the order of `ids`."""

    ids: tuple[str, ...]
    levels: tuple[str, ...]
    sums: Floats

    def at(self, levels: Iterable[str]) -> Tally:
        """The problems of these levels."""
        wanted = set(levels)
        keep = [i for i, name in enumerate(self.levels) if name in wanted]
        return Tally(tuple(self.ids[i] for i in keep), tuple(self.levels[i] for i in keep), self.sums[keep])

    def value(self, measure: str) -> float | None:
        """The measure over all problems; None where nothing can be counted (no answer with a box, say)."""
        top, bottom = (self.sums[:, COLUMNS.index(name)].sum() for name in MEASURES[measure])
        return float(top / bottom) if bottom else None


def tally(rows: Iterable[dict[str, Any]]) -> Tally:
    """Rows of an eval's `samples.jsonl`, of one set and mode. `correct` null (not gradable) is left out of accuracy."""
    sums: dict[str, list[float]] = {}
    levels: dict[str, str] = {}
    for row in rows:
        graded, boxed, right = row["correct"] is not None, bool(row["boxed"]), bool(row["correct"])
        levels[row["id"]] = str(row["level"])
        new = (1, graded, right, boxed, boxed and graded, boxed and right, row["finish"] == "length", row["tokens"])
        old = sums.setdefault(row["id"], [0.0] * len(COLUMNS))
        sums[row["id"]] = [a + b for a, b in zip(old, new, strict=True)]
    ids = tuple(sorted(sums))
    return Tally(ids, tuple(levels[i] for i in ids), np.array([sums[i] for i in ids]).reshape(len(ids), len(COLUMNS)))


def estimate(seeds: Sequence[Tally], measure: str = "accuracy") -> Estimate | None:
    """A measure, pooled over seeds. None where some seed has nothing to count."""
    return difference(seeds, None, measure)


def difference(after: Sequence[Tally], before: Sequence[Tally] | None, measure: str = "accuracy") -> Estimate | None:
    """`after - before`, paired by seed (same place in both lists) and by problem id."""
    if before is not None and len(before) != len(after):
        raise ValueError(f"paired by seed: {len(after)} seeds after, {len(before)} before")
    sides = [list(after)] + ([list(before)] if before is not None else [])
    values = [[t.value(measure) for t in side] for side in sides]
    if not after or any(v is None for side in values for v in side):
        return None
    ids = sorted({i for side in sides for t in side for i in t.ids})
    weights = _weights(len(ids), measure != "length")
    sums = [_ratios(side, ids, measure, weights, cells) for side, cells in zip(sides, _CELLS, strict=False)]
    replicates = (sums[0] - sums[1] if before is not None else sums[0]).mean(axis=1)
    by_seed = np.array(values[0], dtype=float) - (np.array(values[1], dtype=float) if before is not None else 0.0)
    value = float(by_seed.mean())
    low, high = np.nanquantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # variances of the mean: what the seeds add to the problems
    of_seeds = float(by_seed.var(ddof=1)) / len(by_seed) if len(by_seed) > 1 else 0.0
    total = of_seeds + float(np.nanvar(replicates))
    share = of_seeds / total if total else 0.0
    t = float(np.interp(share**2 / max(1, len(by_seed) - 1), _INVERSE_DF, _T_975))
    z = _T_975[0]
    below, above = (t / z * float(np.hypot(max(0.0, half), z * of_seeds**0.5)) for half in (value - low, high - value))
    least, most = (-np.inf, np.inf) if measure == "length" else (-1.0 if before is not None else 0.0, 1.0)
    return Estimate(value, float(max(value - below, least)), float(min(value + above, most)))


_INVERSE_DF = (0.0, 1 / 30, 1 / 15, 1 / 8, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 1.0)
_T_975 = (1.960, 2.042, 2.131, 2.306, 2.571, 2.776, 3.182, 4.303, 12.706)
"""Student's t at 0.975 for 1 / (degrees of freedom)."""

_CELLS = ((1.0, 1.0, 0.0, 0.0), (1.0, 0.0, 1.0, 0.0))
"""What the four pseudo-problems answer after and before: every pair of right and wrong once."""


@lru_cache(maxsize=8)
def _weights(problems: int, pseudo: bool) -> Floats:
    """How often each replicate draws each problem: (replicates, problems [+ 4]) float32. Shared by all comparisons."""
    odds = np.array([1.0] * problems + [0.5] * (4 if pseudo else 0))
    draws = np.random.default_rng(0).multinomial(problems, odds / odds.sum(), size=REPLICATES)
    return draws.astype(np.float32)


def _ratios(side: list[Tally], ids: list[str], measure: str, weights: Floats, cells: Sequence[float]) -> Floats:
    """The measure of every seed in every replicate: (replicates, seeds), NaN where a replicate has nothing to count."""
    place = {name: i for i, name in enumerate(ids)}
    out = np.empty((len(weights), len(side)), dtype=np.float32)
    for s, t in enumerate(side):
        top, bottom = (np.zeros(weights.shape[1], dtype=np.float32) for _ in range(2))
        rows = [place[i] for i in t.ids]
        top[rows], bottom[rows] = (t.sums[:, COLUMNS.index(name)] for name in MEASURES[measure])
        if weights.shape[1] > len(ids):  # a pseudo-problem has as many samples as a problem has on average
            bottom[len(ids) :] = bottom[rows].mean()
            top[len(ids) :] = bottom[len(ids) :] * np.array(cells)
        with np.errstate(invalid="ignore", divide="ignore"):
            # einsum, not BLAS: its threads spin on matrices this small (2.5 s became 20 s on a busy machine)
            out[:, s] = np.einsum("rp,p->r", weights, top) / np.einsum("rp,p->r", weights, bottom)
    return out


# ---- what to call it -------------------------------------------------------------------------------------------------

FIT, RAMBLES, UNSURE, LITTLE, COLLAPSED = "fit for RL", "gains, but rambles", "undecided", "gains little", "collapsed"
MIN_GAIN = 0.10
MAX_TRUNCATION = 0.20
COLLAPSE_TRUNCATION = 0.50
COLLAPSE_REPETITION = 0.50
COLLAPSE_FALL = 0.10

RULE = (
    (
        COLLAPSED,
        f"after RL more than {COLLAPSE_TRUNCATION:.0%} of the sampled answers are cut off at the limit, or more than "
        f"{COLLAPSE_REPETITION:.0%} of the last rollouts' text repeats itself, or accuracy fell (the gain's whole "
        "interval is below zero), or validation ended below half of its best and more than "
        f"{COLLAPSE_FALL * 100:.0f} points under it (medians of three)",
    ),
    (FIT, f"the gain's interval lies above {MIN_GAIN * 100:.0f} points, and under {MAX_TRUNCATION:.0%} are cut off"),
    (RAMBLES, f"the gain is as large, but {MAX_TRUNCATION:.0%} or more are cut off"),
    (
        UNSURE,
        f"the gain is {MIN_GAIN * 100:.0f} points or more, but its interval reaches below that: too few problems or "
        "seeds to say",
    ),
    (LITTLE, f"the gain is below {MIN_GAIN * 100:.0f} points"),
)
"""The numeric rule behind every verdict, in the order it is tried: the first that applies is the verdict."""


@dataclass(frozen=True)
class Verdict:
    word: str
    reason: str


def verdict(
    gain: Estimate, truncation: float, repetition: float | None = None, validation: Sequence[float] = ()
) -> Verdict:
    """The plain-language verdict of RULE on a model's sampled accuracy gained by RL.

    `truncation`: share of the sampled answers after RL that hit the limit. `repetition`: mean `repetition_rate` of the
    last rollouts, None if it was not recorded. `validation`: accuracies on the validation problems, by step.
    """
    points = f"{gain.value * 100:+.1f} points [{gain.low * 100:.1f}, {gain.high * 100:.1f}]"
    smooth = [sorted(validation[i : i + 3])[1] for i in range(len(validation) - 2)]
    if truncation > COLLAPSE_TRUNCATION:
        return Verdict(COLLAPSED, f"{truncation:.0%} of its answers are cut off at the limit")
    if repetition is not None and repetition > COLLAPSE_REPETITION:
        return Verdict(COLLAPSED, f"{repetition:.0%} of its text repeats itself")
    if gain.high < 0:
        return Verdict(COLLAPSED, f"accuracy fell: {points}")
    if smooth and smooth[-1] < max(smooth) / 2 and max(smooth) - smooth[-1] > COLLAPSE_FALL:
        return Verdict(COLLAPSED, f"validation fell from {max(smooth):.0%} to {smooth[-1]:.0%}")
    if gain.low > MIN_GAIN:
        if truncation < MAX_TRUNCATION:
            return Verdict(FIT, points)
        return Verdict(RAMBLES, f"{points}, {truncation:.0%} cut off at the limit")
    if gain.value >= MIN_GAIN:
        return Verdict(UNSURE, f"{points}: the interval reaches below {MIN_GAIN * 100:.0f}")
    return Verdict(LITTLE, points)
