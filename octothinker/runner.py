"""Run what is missing of an experiment: ready stages side by side, each in a process of its own.

    stages -> those without a finished folder -> longest critical path first -> `jobs` processes -> summary

A failed stage lets the others finish, then its reason and the end of its log are shown. Ctrl-C (or SIGTERM) stops the
processes; their folders stay and the next run goes on from there. Under torchrun every stage runs in this process instead,
training on all ranks, the rest on rank 0 alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octothinker import __version__, graph, order, plan
from octothinker.config import Experiment
from octothinker.records import read_json, write_json, write_text
from octothinker.stage import (
    ALL_RANKS,
    CHILD,
    EXIT_BUSY,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Stage,
    environment,
    execute,
)
from octothinker.typed import to_json

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0  # between asking a stage to stop and killing it


class Watcher:
    """Is told what happens, and says nothing; cli/live.py has those that show it."""

    def started(self, stage: Stage, tmp: Path) -> None: ...
    def finished(self, stage: Stage, seconds: float, error: str | None) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class Outcome:
    code: int
    failed: dict[str, str] = field(default_factory=dict)
    """Stage name -> one-line reason."""
    blocked: list[str] = field(default_factory=list)
    """Stages that could not start because one they need failed."""
    logs: dict[str, Path] = field(default_factory=dict)


def run_experiment(
    experiment: Experiment,
    out: Path,
    watcher: Watcher,
    only: Sequence[str] = (),
    jobs: int | None = None,
    argv: Sequence[str] = (),
) -> Outcome:
    """Run what is missing in `out`; the same call goes on after a failure or an interruption."""
    started = time.time()
    stages = graph.expand(experiment, out / "fingerprints.json")
    chosen = order.select(stages, only)
    graph.check_forks(chosen, out)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        main = os.environ["RANK"] == "0"
        record = RunRecord(experiment, stages, out, argv, started) if main else None
        outcome = run_distributed(chosen, out, watcher)
    else:
        jobs = jobs or order.default_jobs(stages)
        threads = experiment.threads or max(1, order.cores() // jobs)
        rows = plan.make_plan(chosen, experiment, out, flops_per_second=1e11, jobs=jobs)
        record = RunRecord(experiment, stages, out, argv, started)
        outcome = run(chosen, out, jobs, threads, {row.stage.name: row.seconds for row in rows}, watcher)
    if record:
        record.close()
    return outcome


class RunRecord:
    """`experiment.json` (or the recipe of a corpus), `plan.json` and `run.json` of a run folder."""

    def __init__(
        self,
        recipe: Any,
        stages: Sequence[Stage],
        out: Path,
        argv: Sequence[str],
        started: float,
        name: str = "experiment.json",
    ) -> None:
        rows = [
            {
                "name": s.name,
                "kind": s.kind,
                "key": s.key,
                "folder": str(s.folder(out).relative_to(out)),
                "inputs": {role: source.name for role, source in s.inputs.items() if isinstance(source, Stage)},
                "seed": s.seed,
                "init": s.init,
            }
            for s in stages
        ]
        self.file, self.started, self.before = out / "run.json", started, 0.0
        if self.file.exists() and (out / "plan.json").exists() and read_json(out / "plan.json") == rows:
            self.before = read_json(self.file)["seconds"] or 0.0  # it goes on with the same work: its time counts too
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / name, to_json(recipe))
        write_json(out / "plan.json", rows)
        where = Path(__file__).parent
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=where, capture_output=True, text=True, check=False)
        self.content = {
            "argv": list(argv),
            "commit": git.stdout.strip() or None,
            "version": __version__,
            **environment(),
            "started": started,
        }
        write_json(self.file, {**self.content, "seconds": self.before or None})

    def close(self) -> None:
        write_json(self.file, {**self.content, "seconds": self.before + time.time() - self.started})


def run(
    stages: Sequence[Stage], out: Path, jobs: int, threads: int, costs: Mapping[str, float], watcher: Watcher
) -> Outcome:
    """Run the stages (in topological order) whose result is missing; `threads` CPU threads each."""
    todo = [stage for stage in stages if not stage.done(out)]
    rank = order.priorities(stages, costs)
    outcome = Outcome(EXIT_OK)
    running: dict[Stage, tuple[subprocess.Popen[bytes], float]] = {}
    stop = _StopOnSignal()
    try:
        while todo or running:
            ready = sorted((s for s in todo if all(p.done(out) for p in s.parents)), key=lambda s: -rank[s.name])
            for stage in ready[: jobs - len(running)]:
                todo.remove(stage)
                running[stage] = (_start(stage, out, threads), time.time())
                watcher.started(stage, stage.tmp(out))
            if not running:  # what is left needs a stage that failed
                break
            time.sleep(POLL_SECONDS)
            watcher.tick()
            for stage in [s for s, (process, _) in running.items() if process.poll() is not None]:
                process, began = running.pop(stage)
                _signal_group(
                    process, signal.SIGKILL
                )  # helpers of a stage that was killed would work on beside the next
                error = None if stage.done(out) else _reason(stage, out, process.returncode)
                if error:
                    outcome.failed[stage.name] = error
                    outcome.logs[stage.name] = stage.tmp(out) / "log.txt"
                watcher.finished(stage, time.time() - began, error)
            if stop.requested:
                outcome.code = EXIT_INTERRUPTED
                return outcome
    finally:
        _stop([process for process, _ in running.values()])
        stop.restore()
    outcome.blocked = [stage.name for stage in todo]
    outcome.code = EXIT_FAILED if outcome.failed else EXIT_OK
    return outcome


class _StopOnSignal:
    """Ctrl-C and SIGTERM become a flag that the loop looks at, so that no stage is half started or forgotten."""

    def __init__(self) -> None:
        self.requested = False
        self.before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, signum: int, frame: Any) -> None:
        self.requested = True

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _start(stage: Stage, out: Path, threads: int) -> subprocess.Popen[bytes]:
    stage_file = stage.prepare(out)
    count = str(threads)
    environ = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "PYTHONUNBUFFERED": "1", CHILD: "1"}
    environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that wait by spinning collapse as soon as the cores are shared: a tiny model's training on two threads beside
    # other work took 5.2 s, and 1.5 s so.
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with open(stage_file.parent / "log.txt", "ab") as log:
        # A session of its own: Ctrl-C reaches us alone, and a stage's helpers end with it. The pipe is how it notices that
        # we are gone (stage.py).
        return subprocess.Popen(
            [sys.executable, "-m", "octothinker.stage", str(stage_file)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.time() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.time()))
        except subprocess.TimeoutExpired:
            pass
        _signal_group(process, signal.SIGKILL)  # helpers that a stage left behind, too
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)  # it leads its group
    except ProcessLookupError:
        pass


def _reason(stage: Stage, out: Path, code: int) -> str:
    """Why a stage failed, in one line; written down where the stage could not do so itself."""
    if code == EXIT_BUSY:
        return "another process runs this stage; wait for it, or stop it"
    file = stage.tmp(out) / "error.txt"
    if file.exists():
        return file.read_text(encoding="utf-8").split("\n", 1)[0]
    if code < 0:
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        reason = f"killed by {signal.Signals(-code).name}{hint}"
    else:
        lines = (stage.tmp(out) / "log.txt").read_text(encoding="utf-8", errors="replace").strip().split("\n")
        reason = lines[-1] or f"exit code {code}"
    write_text(file, reason + "\n")
    return reason


def run_distributed(stages: Sequence[Stage], out: Path, watcher: Watcher) -> Outcome:
    """The same under torchrun: one stage after the other in this process, all ranks together. Errors are raised."""
    import torch.distributed as dist

    from octothinker.train.dist import setup

    rank, _ = setup()
    for stage in stages:
        # Rank 0 decides, lest a slow file system shows two ranks different things.
        todo = [not stage.done(out)]
        dist.broadcast_object_list(todo, src=0)
        if not todo[0]:
            continue
        began = time.time()
        if rank == 0:
            stage.prepare(out)
            watcher.started(stage, stage.tmp(out))
        dist.barrier()
        file = stage.tmp(out) / "stage.json"
        if stage.kind in ALL_RANKS:
            execute(file, main=rank == 0, barrier=dist.barrier)
        elif rank == 0:
            execute(file)
        dist.barrier()
        if rank == 0:
            watcher.finished(stage, time.time() - began, None)
    dist.destroy_process_group()
    return Outcome(EXIT_OK)


def last_lines(log: Path, count: int = 15) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().split("\n") if log.exists() else []
    return "\n".join(lines[-count:])
