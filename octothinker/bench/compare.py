"""The comparison: both sides in processes of their own, warm, taking turns A B A B; medians, spread, floor.

works -> for each peer: its fastest setting -> [ours, theirs] x runs -> a row for the table and for --json
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from octothinker.bench import floors
from octothinker.bench.prepare import Bench
from octothinker.bench.works import Setting, Work, settings
from octothinker.config import ModelConfig

Say = Callable[[str], None]
Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
INSTALL = {
    "transformers": "pip install 'octothinker[bench]', or make bench",
    "trl": "pip install 'octothinker[bench]', or make bench",
    "vllm": "make bench gives it a venv of its own, .venv-vllm; one elsewhere: --vllm-python PATH",
}


class SideFailed(RuntimeError):
    """A worker ended; the message has the end of its log."""


class Side:
    """A warm worker process. `go()` is one round: seconds."""

    def __init__(self, python: str, spec: dict[str, Any]) -> None:
        self.name, self.peak_mb = f"{spec['side']} {spec['name']}", 0.0
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [python, "-m", "octothinker.bench.worker", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment(python, spec),
        )
        self._answer()

    def go(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            tail = self.log.read().strip().splitlines()[-15:]
            self.close()
            raise SideFailed(f"{self.name} ended with code {self.process.returncode}:\n" + "\n".join(tail))
        answer = json.loads(line)
        self.peak_mb = answer["peak_mb"]
        return float(answer["seconds"])

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()


def environment(python: str, spec: dict[str, Any]) -> dict[str, str]:
    """Of a worker: as many threads as the other side has, no network."""
    found = {
        **os.environ,
        "OMP_NUM_THREADS": str(spec["threads"]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if spec["side"] == "vllm":  # its CPU guide: threads bound to cores; and in one process, so that its memory is seen
        cores = sorted(os.sched_getaffinity(0))[: spec["threads"]]
        found["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
        found |= {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        del found["OMP_NUM_THREADS"]  # it warns of it
        if "preload" in spec["setting"]:
            found["LD_PRELOAD"] = str(Path(python).parents[1] / spec["setting"]["preload"])
    return found


def missing(work: Work, peer: str, vllm_python: str) -> str | None:
    """What `peer` wants for this work and is not installed."""
    if peer == "vllm":
        return None if Path(vllm_python).is_file() else "vllm"
    wanted = [
        peer,
        *(["accelerate"] if work.kind == "midtrain" else []),
    ]  # transformers' Trainer does not run without it
    return next((name for name in wanted if importlib.util.find_spec(name) is None), None)


def fastest(
    bench: Bench, work: Work, peer: str, python: str, candidates: dict[str, Setting], say: Say
) -> tuple[str, dict[str, float | str]]:
    """The name of the peer's fastest setting for this work, and what each one gave: its rate, or how it failed."""
    if len(candidates) == 1:
        return next(iter(candidates)), {}
    small = replace(work, **work.trial)
    tried: dict[str, float | str] = {}
    for name, setting in candidates.items():
        try:
            with Side(python, {**bench.spec(small), "side": peer, "setting": setting}) as side:
                tried[name] = small.amount / min(side.go() for _ in range(2))
                say(f"{work.name}: {peer}, {name}: {tried[name]:,.4g} {work.unit}")
        except SideFailed as error:
            tried[name] = str(error).splitlines()[-1]
            say(f"{work.name}: {peer}, {name} does not run: {error}")
    rates = {name: rate for name, rate in tried.items() if isinstance(rate, float)}
    if not rates:
        raise SideFailed(f"{work.name}: {peer} runs in none of its settings: {', '.join(candidates)}")
    return max(rates, key=lambda name: rates[name]), tried


def turns(
    bench: Bench, work: Work, peer: str | None, python: str, setting: Setting, runs: int, precision: str
) -> tuple[list[list[float]], list[float]]:
    """Seconds of each round and peak memory, ours first, theirs (if any) second."""
    spec = bench.spec(work)
    own = {**spec, "side": "octothinker", "setting": {**work.ours, "precision": precision}}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(sys.executable, own))]
        if peer is not None:
            sides.append(stack.enter_context(Side(python, {**spec, "side": peer, "setting": setting})))
        times: list[list[float]] = [[] for _ in sides]
        for _ in range(runs):
            for side, seconds in zip(sides, times, strict=True):
                seconds.append(side.go())
        return times, [side.peak_mb for side in sides]


def need(work: Work, model: ModelConfig, prompts: list[int]) -> floors.Need:
    """Of one round."""
    if work.kind == "midtrain":
        need = floors.training(model, work.batch, work.seq_len)
    else:
        need = (floors.rollout if work.kind == "rollout" else floors.grpo)(model, prompts, work.group, work.tokens)
    return floors.Need(work.steps * need.flops, work.steps * need.bytes)


def row(work: Work, peer: str, times: list[list[float]], peaks: list[float]) -> Row:
    """What --json gives of one comparison; `theirs`, `ratio` and `spread` are null without a peer."""
    theirs = work.amount / median(times[1]) if len(times) > 1 else None
    ratios = [b / a for a, b in zip(*times, strict=True)] if len(times) > 1 else []
    return {
        "work": work.name,
        "model": work.model,
        "peer": peer,
        "ours": work.amount / median(times[0]),
        "theirs": theirs,
        "unit": work.unit,
        "ratio": median(ratios) if ratios else None,
        "spread": [min(ratios), max(ratios)] if ratios else None,
        "reach": work.reach.get(peer),
        "peak_mb": [round(mb) for mb in peaks] if len(peaks) > 1 else [round(peaks[0]), None],
        "seconds": times,
    }


def compare(
    bench: Bench, work: Work, machine: floors.Machine, vllm_python: str, runs: int, only: Sequence[str], say: Say
) -> Iterator[Row]:
    """A row for each peer of `work`; for SmolLM2's training also one against the machine's matmul peak.

    `only`: the peers' settings to try (works.settings). SideFailed when a side does not run."""
    spec = bench.spec(work)
    model = bench.config(work)
    least = need(work, model, [] if work.kind == "midtrain" else [len(p) for p in spec["prompts"]])
    limits: Row = {"floor": work.amount / least.seconds(machine), "bound": least.bound(machine)}
    limits["precision"] = machine.precision
    if work.curve:
        limits |= {"curve": work.curve, "x": work.x}
    for peer in work.reach:
        python = vllm_python if peer == "vllm" else sys.executable
        if absent := missing(work, peer, vllm_python):
            why = f"{absent} is not installed: {INSTALL[peer]}"
            say(f"{work.name}: ours alone; {why}")
            times, peaks = turns(bench, work, None, "", {}, runs, machine.precision)
            yield {**row(work, peer, times, peaks), **limits, "setting": None, "missing": why}
        else:
            candidates = settings(peer, work.kind, only, machine.precision)
            best, tried = fastest(bench, work, peer, python, candidates, say)
            times, peaks = turns(bench, work, peer, python, candidates[best], runs, machine.precision)
            result = {**row(work, peer, times, peaks), **limits, "setting": best, "tried": tried}
            say("{}: {:.2f} x {} ({:.2f} to {:.2f})".format(work.name, result["ratio"], peer, *result["spread"]))
            yield result
        if work.kind == "midtrain" and work.model == "smollm2":
            done = model.flops_per_token(work.seq_len) * work.amount
            yield utilisation(work, done, times[0], machine)


def alone(work: str, ours: float, unit: str, reach: float | None = None) -> Row:
    """A row without a peer."""
    nothing = dict.fromkeys(("theirs", "ratio", "spread", "floor", "bound", "setting"))
    row = {"work": work, "model": None, "peer": None, "ours": ours, "unit": unit, "reach": reach, **nothing}
    return {**row, "peak_mb": [None, None]}


def whole_nano(say: Say) -> Row:
    """`octo run nano` from nothing, by the clock."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="octo-bench-") as out:
        say("octo run nano: minutes")
        subprocess.run(
            [sys.executable, "-m", "octothinker", "run", "nano", "--out", out], check=True, stdout=subprocess.DEVNULL
        )
    return alone("octo run nano", time.perf_counter() - began, "s")


def utilisation(work: Work, flops: float, seconds: list[float], machine: floors.Machine) -> Row:
    """Model FLOPs of training as a share of the measured matmul peak."""
    shares = [flops / s / machine.flops for s in seconds]
    return {
        "work": f"{work.name} model FLOPs",
        "model": work.model,
        "peer": f"{machine.precision} matmul peak",
        "ours": flops / median(seconds) / 1e9,
        "theirs": machine.flops / 1e9,
        "unit": "GFLOP/s",
        "ratio": median(shares),
        "spread": [min(shares), max(shares)],
        "reach": 0.4,
        "peak_mb": [None, None],
        "floor": machine.flops / 1e9,
        "bound": "operations",
        "setting": None,
    }
