"""Tiny stage functions and configs in place of the real ones; the stages' processes import this module by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octothinker.config import Eval, Experiment, Midtrain, ModelConfig, Problems, Source
from octothinker.records import Progress, write_text
from octothinker.typed import ConfigError, not_identity, version


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a fake stage should do."""

    value: int = 0
    seconds: float = 0.0
    action: str = "add"
    where: str = not_identity("")


@version(3)
def work(config: Work, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """The sum of its own value and those of its inputs; or a failure of the kind `action` names."""
    print(f"working on {out.name}", flush=True)
    if config.where:
        with open(config.where, "a", encoding="utf-8") as log:
            log.write(f"{out.name.rpartition('-')[0]} {os.environ.get('OMP_NUM_THREADS')} {time.time()}\n")
    if config.action == "raise":
        raise RuntimeError("the sky fell")
    if config.action == "bad":
        raise ConfigError("value=-1 must be positive")
    if config.action == "die":
        os.kill(os.getpid(), 9)
    if config.action == "resume":  # killed the first time, goes on from what it finds the second
        if not (out / "half.txt").exists():
            write_text(out / "half.txt", "half")
            os.kill(os.getpid(), 9)
        return {"value": config.value, "resumed": True}
    if config.action == "sleep":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        write_text(out / "pids.txt", f"{os.getpid()} {child.pid}")
        progress = Progress(out, 600, "steps")
        for step in range(600):
            progress.update(step, loss=1.5)
            time.sleep(1.0)
    time.sleep(config.seconds)
    below = [json.loads((folder / "manifest.json").read_text())["result"]["value"] for folder in inputs.values()]
    return {"value": config.value + sum(below)}


def alone(config: Work, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """Without a version, and without inputs' manifests; with what a plan reads of real results."""
    return {"value": config.value, "tokens": 160, "documents": 3, "n": 5}


# ---- configs with the constructors that graph.py calls, for experiments without real data -----------------------------


@dataclass(frozen=True, kw_only=True)
class DataRun:
    content: dict[str, Any]
    value: int = 0

    @classmethod
    def of(cls, experiment: Experiment, name: str = "") -> DataRun:
        spec: Source | Problems | None = {**experiment.sources, **experiment.problems}.get(name)
        return cls(content=vars(spec) if spec else {"vocab": experiment.tokenizer.vocab_size})  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class EvalRun:
    eval: Eval
    seed: int

    @classmethod
    def of(cls, experiment: Experiment, seed: int) -> EvalRun:
        return cls(eval=experiment.eval, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Train:
    """In place of MidtrainRun; `max_bad_steps` of its stage decides whether it fails."""

    stage: Midtrain
    lr: float
    model: ModelConfig | None
    fork_step: int | None
    seed: int
    threads: int = not_identity(0)

    @property
    def value(self) -> int:
        if self.stage.max_bad_steps == 13:
            raise RuntimeError("[red]loss[/red] is not finite")
        return self.stage.tokens


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, "did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
