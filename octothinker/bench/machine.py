"""What this machine can do at most: matmul peaks and memory bandwidth, measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch

SIZES = (1024, 1536, 2048, 3072, 4096)
ARRAY = 1 << 26  # fp32 numbers, 268 MB: beyond any cache
ROUNDS = 5


def best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest of some rounds: a peak is what the machine can do, not what it does on average."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def matmul(dtype: torch.dtype, sizes: tuple[int, ...] = SIZES) -> float:
    """Operations a second of torch.mm, the best over square matrices of these sizes."""
    rates = []
    for size in sizes:
        a, b, out = (torch.randn(size, size).to(dtype) for _ in range(3))
        rates.append(2.0 * size**3 / best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out)))  # type: ignore[misc]
    return max(rates)


def bandwidth(numbers: int = ARRAY) -> float:
    """Bytes a second, the best of copy (read, write) and STREAM's triad a = b + s * c (two reads, a write)."""
    a, b, c = (torch.ones(numbers) for _ in range(3))
    copy = 8.0 * numbers / best(lambda: a.copy_(b))
    triad = 12.0 * numbers / best(lambda: torch.add(b, c, alpha=3.0, out=a))
    read = 4.0 * numbers / best(lambda: a.sum())
    return max(copy, triad, read)


def measure(threads: int, small: bool) -> dict[str, float]:
    torch.set_num_threads(threads)
    sizes = (256,) if small else SIZES
    return {
        "bf16": matmul(torch.bfloat16, sizes),
        "fp32": matmul(torch.float32, sizes),
        "bandwidth": bandwidth(1 << 20 if small else ARRAY),
    }


def peaks(threads: int, small: bool = False) -> dict[str, float]:
    """Operations a second in `bf16` and `fp32`, bytes a second as `bandwidth`, measured in a fresh process; `small`: on
    little arrays, to try the path and not the machine."""
    command = [sys.executable, "-m", "octothinker.bench.machine", str(threads), *(["small"] if small else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout))


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), "small" in sys.argv)))
