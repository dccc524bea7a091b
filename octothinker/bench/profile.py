"""Where a step's time goes: PyTorch's profiler around our own side, in this process.

work -> one warm round -> a few rounds under the profiler -> share of the time by operator, the compiled ones by their names
"""

from __future__ import annotations

import time
from typing import Any

import torch

from octothinker.bench import ours
from octothinker.bench.compare import Row, alone
from octothinker.bench.prepare import Bench
from octothinker.bench.works import Work

ROUNDS = 3
SHOWN = 8


class _Enough(Exception):
    """The stages that are measured never end by themselves."""


def profile(bench: Bench, work: Work, precision: str) -> list[Row]:
    """Rows in per cent of the wall-clock time, the largest first; `elsewhere`: Python, the decoder, sampling, grading.

    With several threads an operator's own time is that of the thread that called it, waiting for the others included."""
    spec: dict[str, Any] = {**bench.spec(work), "setting": {**work.ours, "precision": precision}}
    torch.set_num_threads(spec["threads"])
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    done, began = 0, 0.0

    def tick() -> None:
        nonlocal done, began
        done += 1
        if done == 1:
            profiler.start()
            began = time.perf_counter()
        elif done == 1 + ROUNDS:
            raise _Enough

    try:
        getattr(ours, work.kind)(spec, tick)
    except _Enough:
        seconds = time.perf_counter() - began
        profiler.stop()
    spent = sorted(((event.self_cpu_time_total / 1e6, event.key) for event in profiler.key_averages()), reverse=True)
    rows = [alone(f"profile {work.name}: {name}", 100 * t / seconds, "%") for t, name in spent[:SHOWN]]
    rest = sum(t for t, _ in spent[SHOWN:])
    elsewhere = max(seconds - sum(t for t, _ in spent), 0.0)
    rows.append(alone(f"profile {work.name}: other operators", 100 * rest / seconds, "%"))
    return [*rows, alone(f"profile {work.name}: elsewhere", 100 * elsewhere / seconds, "%")]
