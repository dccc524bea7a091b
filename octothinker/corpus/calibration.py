"""How good a classifier's probabilities are, and where to cut: pure functions of probabilities and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

THRESHOLDS = (0.01, 0.02, *(round(0.05 * i, 2) for i in range(1, 20)), 0.98, 0.99)
UNMEASURED = 0.5
Rule = Literal["recall_at_precision", "f1"]


def at(threshold: float, probabilities: Sequence[float], labels: Sequence[bool]) -> dict[str, Any]:
    """Precision, recall, F1 and share kept when p >= threshold is positive. None where there is nothing to divide by."""
    p, y = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=bool)
    kept = p >= threshold
    hits, positives, n_kept = int((kept & y).sum()), int(y.sum()), int(kept.sum())
    return {
        "threshold": threshold,
        "kept": n_kept / len(p) if len(p) else None,
        "precision": hits / n_kept if n_kept else None,
        "recall": hits / positives if positives else None,
        "f1": 2 * hits / (n_kept + positives) if n_kept + positives else None,
    }


def f1_interval(decided: Sequence[float], labels: Sequence[bool], sites: Sequence[str]) -> tuple[float, float] | None:
    """95% of F1 (percentile bootstrap, 1,000 draws): whole sites are drawn, since pages of one site are alike. None: no draw
    has an F1."""
    _, place = np.unique(np.asarray(sites), return_inverse=True)
    p, y = np.asarray(decided) >= 0.5, np.asarray(labels, dtype=bool)
    hits, size = (np.bincount(place, weights) for weights in (2.0 * (p & y), 1.0 * p + y))
    rng, found = np.random.default_rng(0), []
    for _ in range(1000):
        drawn = rng.integers(0, len(hits), len(hits))
        if total := size[drawn].sum():
            found.append(hits[drawn].sum() / total)
    return (float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))) if found else None


def table(probabilities: Sequence[float], labels: Sequence[bool]) -> list[dict[str, Any]]:
    return [at(threshold, probabilities, labels) for threshold in THRESHOLDS]


def reliability(probabilities: Sequence[float], labels: Sequence[bool], bins: int = 10) -> list[dict[str, Any]]:
    """Bins of equal width: how many fall in, their mean probability, the share of them that is positive."""
    p, y = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=bool)
    place = np.minimum((p * bins).astype(int), bins - 1)
    rows = []
    for i in range(bins):
        inside = place == i
        n = int(inside.sum())
        mean, share = (float(p[inside].mean()), float(y[inside].mean())) if n else (None, None)
        rows.append({"from": i / bins, "to": (i + 1) / bins, "n": n, "probability": mean, "positive": share})
    return rows


def expected_error(rows: Sequence[dict[str, Any]]) -> float:
    """Expected calibration error (Naeini et al. 2015): mean |probability - share of positives| over the documents."""
    total = sum(row["n"] for row in rows)
    gaps = (row["n"] * abs(row["probability"] - row["positive"]) for row in rows if row["n"])
    return sum(gaps) / total if total else math.nan


def choose(rows: Sequence[dict[str, Any]], rule: Rule, min_precision: float) -> tuple[float, str]:
    """The threshold and, in words, why. Of equals the middle one: the farthest from where it goes wrong on either side."""

    def best_of(some: Sequence[dict[str, Any]], *keys: str) -> dict[str, Any]:
        top = max(tuple(row[key] for key in keys) for row in some)
        equals = [row for row in some if tuple(row[key] for key in keys) == top]
        middle = (equals[0]["threshold"] + equals[-1]["threshold"]) / 2
        return min(equals, key=lambda row: (round(abs(row["threshold"] - middle), 6), -row["threshold"]))

    usable = [row for row in rows if row["precision"] is not None and row["recall"] is not None]
    if not usable:
        return UNMEASURED, f"{UNMEASURED:g}: the labels allow no measurement (no positive one, or nothing kept)"
    if rule == "f1":
        best = best_of(usable, "f1")
        return best["threshold"], f"the best F1 ({best['f1']:.3f}) on held-out sites"
    precise = [row for row in usable if row["precision"] >= min_precision]
    if precise:
        best = best_of(precise, "recall", "precision")
        why = f"the most recall ({best['recall']:.3f}) with a precision of at least {min_precision:g}"
        return best["threshold"], f"{why} (it is {best['precision']:.3f}) on held-out sites"
    best = best_of(usable, "precision")
    why = f"no threshold has a precision of {min_precision:g} on held-out sites"
    return best["threshold"], f"{why}; this one comes nearest ({best['precision']:.3f})"
