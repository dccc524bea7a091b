"""Two evaluations of the same problems: what changed, and how likely that is by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from octothinker.insight.compare import Estimate, difference, tally
from octothinker.records import read_json, read_jsonl
from octothinker.typed import ConfigError, check

DRAWS = 10_000


@dataclass(frozen=True)
class Change:
    set: str
    mode: str
    n: int
    """Problems that both have graded answers to."""
    a: float
    b: float
    gap: Estimate
    """B - A with a paired 95% interval."""
    p: float
    """Two-sided, of the hypothesis that A and B could be swapped on every problem: exact sign test for one answer a
    problem (McNemar), else 10,000 random swaps."""
    up: list[str]
    down: list[str]
    """Problems of which B has a larger, or smaller, share right."""


def diff(a: Path, b: Path) -> list[Change]:
    """One entry for every set and mode that both have. ConfigError where they have none, or ask differently."""
    rows = [_samples(folder) for folder in (a, b)]
    shared = [key for key in rows[0] if key in rows[1]]
    check(bool(shared), f"{a} and {b} have no set in common")
    return [_change(*key, rows[0][key], rows[1][key]) for key in shared]


def evaluation(folder: Path) -> Path:
    """The folder with samples.jsonl: this one, or the only evaluation of the run in it."""
    if (folder / "samples.jsonl").is_file():
        return folder
    found = sorted(
        file.parent for file in (folder / "stages").glob("eval.*/samples.jsonl") if file.parent.suffix != ".tmp"
    )
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise ConfigError(
            f"{folder}: holds no samples.jsonl, and not one finished evaluation but: {names}; name its folder"
        )
    return found[0]


def _samples(folder: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    out: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in read_jsonl(evaluation(folder) / "samples.jsonl"):
        out.setdefault((row["set"], row["mode"]), []).append(row)
    return out


def protocol_gap(a: Path, b: Path) -> list[str]:
    """Settings in which the two evaluations differ, as sentences."""
    sides = [read_json(evaluation(folder) / "results.json")["protocol"] for folder in (a, b)]
    keys = sorted({*sides[0], *sides[1]} - {"limit", "pass_k"})
    return [f"{k}: {sides[0].get(k)!r} and {sides[1].get(k)!r}" for k in keys if sides[0].get(k) != sides[1].get(k)]


def _change(name: str, mode: str, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Change:
    shares = [_shares(side) for side in (a, b)]
    both = sorted(shares[0].keys() & shares[1].keys())
    check(bool(both), f"{name}: no problem of it was graded in both")
    for gold in ("gold", "question"):
        first = [{row["id"]: row[gold] for row in side} for side in (a, b)]
        wrong = [i for i in both if first[0][i] != first[1][i]]
        check(not wrong, f"{name}: problem {wrong[0] if wrong else ''} has another {gold} in the other evaluation")
    x, y = (np.array([side[i] for i in both]) for side in shares)
    kept = set(both)
    gap = difference([tally(r for r in b if r["id"] in kept)], [tally(r for r in a if r["id"] in kept)])
    assert gap is not None, "both sides have graded answers"
    moved = y - x
    up, down = ([i for i, m in zip(both, moved, strict=True) if m * sign > 0] for sign in (1, -1))
    return Change(name, mode, len(both), float(x.mean()), float(y.mean()), gap, chance(moved), up, down)


def _shares(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Share right of each problem with a graded answer."""
    verdicts: dict[str, list[bool]] = {}
    for row in rows:
        if row["correct"] is not None:
            verdicts.setdefault(row["id"], []).append(row["correct"])
    return {problem: sum(found) / len(found) for problem, found in verdicts.items()}


def chance(moved: np.ndarray) -> float:
    """Two-sided p of the mean of `moved` (n,), by swapping the sides of each problem at random."""
    moved = moved[moved != 0]
    n = len(moved)
    if not n:
        return 1.0
    if len(set(np.abs(moved).round(9))) == 1:  # signs alone: exact
        tail = min(int((moved > 0).sum()), int((moved < 0).sum()))
        return min(1.0, 2 * sum(math.comb(n, k) for k in range(tail + 1)) / 2**n)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, n))
    extreme = int((np.abs(signs @ moved) >= abs(moved.sum()) - 1e-9).sum())
    return (extreme + 1) / (DRAWS + 1)
