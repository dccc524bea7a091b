"""One side of a comparison, in a process of its own: `python -m octothinker.bench.worker SPEC`, SPEC as JSON.

    SPEC -> load, warm up -> {"seconds", "peak_mb"}     one JSON line a round on stdout, the first one when warm;
                          <- a line on stdin                  then it waits for a line before each further round

Between two rounds it sleeps, so that two sides stay in memory and take turns. Runs in a peer's own venv as well: nothing
but the standard library is imported here.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

SIDES = {
    "octothinker": "octothinker.bench.ours",
    "transformers": "octothinker.bench.with_transformers",
    "trl": "octothinker.bench.with_trl",
    "vllm": "octothinker.bench.with_vllm",
    **dict.fromkeys(("math-verify", "mathruler", "verl"), "octothinker.bench.with_graders"),
}
Tick = Callable[[], None]
"""Called by a side after every round of its work: says how long it took and waits for the next."""


def peak_mb() -> float:
    """Most memory that this process has held, in MB. (Linux's ru_maxrss would start with the parent's.)"""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1000 for line in file if line.startswith("VmHWM"))
    except FileNotFoundError:
        scale = 1e6 if sys.platform == "darwin" else 1e3
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    spec: dict[str, Any] = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print what they like: to the log
    began = time.perf_counter()

    def tick() -> None:
        nonlocal began
        seconds = time.perf_counter() - began
        answers.write(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}) + "\n")
        answers.flush()
        if not sys.stdin.readline():
            os._exit(0)  # no one asks any more; a trainer's own end would write checkpoints
        began = time.perf_counter()

    side = importlib.import_module(SIDES[spec["side"]])
    if "torch" in sys.modules:  # vLLM binds its threads itself
        sys.modules["torch"].set_num_threads(spec["threads"])
    getattr(side, spec["kind"])(spec, tick)
    raise RuntimeError(f"{spec['side']} ended its {spec['kind']} before it was told to")


if __name__ == "__main__":
    main()
