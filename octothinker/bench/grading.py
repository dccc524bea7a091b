"""`octo bench grading`: our grader beside others, on the same pairs: right verdicts, speed, and what hostile answers do.

pairs -> each grader in a process of its own, killed after LIMIT seconds an answer -> rows for the table and for --json
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

from octothinker.bench.compare import Row, Say, alone, row, turns
from octothinker.bench.hostile import CANARY, Case, cases
from octothinker.bench.pairs import pairs
from octothinker.bench.prepare import Bench
from octothinker.bench.with_graders import MODULES
from octothinker.bench.works import GRADING
from octothinker.grade.pool import Grader, Item, Worker, usable_gold

LIMIT = 5.0
"""Seconds for one answer, whole path; ours has its own limit of two within."""
INSTALL = "pip install --no-deps mathruler==0.1.0 verl==0.9.1 && pip install pylatexenc tqdm, or make bench"


def compare_graders(bench: Bench, runs: int, small: bool, say: Say) -> Iterator[Row]:
    """A row for each peer and measure; without a peer that is not installed."""
    work = replace(GRADING, prompts=60) if small else GRADING
    made = cases()[::40] if small else cases()
    yield alone("grading: fast path, one thread, new responses", fast_path(work.prompts, runs), "pairs/s", 50_000.0)
    mine = _measure("octothinker", work.prompts, made, say)
    for peer in work.reach:
        if importlib.util.find_spec(MODULES[peer]) is None:
            why = f"{peer} is not installed: {INSTALL}"
            say(f"grading: without {peer}; {why}")
            yield {
                **alone(f"grading: {next(iter(mine))}", next(iter(mine.values())), "%"),
                "peer": peer,
                "missing": why,
            }
            continue
        theirs = _measure(peer, work.prompts, made, say)
        for name, value in mine.items():
            unit = "%" if "%" in name else "ms" if "ms" in name else "answers"
            yield {**alone(f"grading: {name}", value, unit), "peer": peer, "theirs": theirs[name]}
        times, peaks = turns(bench, work, peer, sys.executable, {}, runs, "fp32")
        yield {**row(work, peer, times, peaks), "floor": None, "bound": None, "setting": None}


def fast_path(count: int, runs: int) -> float:
    """Responses a second whose answer is found and judged by the exact path, in one thread, in groups of 16 with one gold as
    in RL: median of the rounds, each of new ones. Golds have been checked, as they are when a set is loaded."""
    rates = []
    with Grader() as grader:
        for seed in range(1 + runs):
            items = [Item(pair.response, pair.gold) for pair in pairs(count, 1_000 + seed, group=16)]
            for item in items:
                usable_gold(item.gold)
            began = time.perf_counter()
            grader.grade(items)
            rates.append(count / (time.perf_counter() - began))
        slow = grader.calls
    if slow:
        raise RuntimeError(f"{slow} of the pairs were not decided by the fast path: its rate is not what was measured")
    return median(rates[1:])


def _measure(name: str, count: int, made: list[Case], say: Say) -> dict[str, float]:
    """Of one grader: right verdicts in %, hostile answers that it rewards, that kill or hang it, and whether it ran code."""
    with tempfile.TemporaryDirectory(prefix="octo-graders-") as folder:
        command = [sys.executable, "-P", "-m", "octothinker.bench.with_graders", name, folder, "6144"]
        worker = Worker(command, LIMIT)
        try:
            known = pairs(count, seed=0)
            seconds: list[float] = []

            def timed(gold: str, response: str) -> bool | None:
                began = time.perf_counter()
                verdict = worker.ask(gold, response)
                seconds.append(time.perf_counter() - began)
                return verdict

            right = sum(timed(pair.gold, pair.response) is pair.equal for pair in known)
            say(f"grading: {name}, {right} of {count} verdicts are right")
            p99 = quantiles(seconds, n=100, method="inclusive")[98]
            verdicts = [timed(gold, response) for _, gold, response in made]
        finally:
            worker.close()
        ran = (Path(folder) / CANARY).exists()
    say(f"grading: {name}, of {len(made)} hostile answers {verdicts.count(True)} rewarded, {verdicts.count(None)} hang")
    return {
        "right verdicts, %": 100 * right / count,
        f"of {len(made)} hostile, rewarded": float(verdicts.count(True)),
        f"of {len(made)} hostile, hang or die": float(verdicts.count(None)),
        "ran code from an answer": float(ran),
        "p99 of the pairs, ms": 1000 * p99,
        "longest verdict of all, ms": 1000 * max(seconds),
    }
