"""One step over the shards of a corpus: datatrove's pipeline and executors, with a ledger and without silent failures.

    <input>/00000.jsonl.zst ─ Documents ─ Sieve(judge) ─ JsonlWriter ─> <out>/00000.jsonl.zst, tasks/00000.json
    …                                    one task a shard                …
    then: every task done? ─ ledgers merged, in == kept of the step before ─ drop limit ─> ledger.json

A task is done when its mark lies in logs/completions, so a killed step goes on with the tasks that are left; the folder
belongs to one configuration (stage.py), and with it the marks. What datatrove's own local executor lacks is here: it waits
for ever for a worker that was killed, and its helper processes outlive it.
"""

from __future__ import annotations

import concurrent.futures
import copy
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.jsonl import JsonlWriter

from octothinker.corpus.config import Engine
from octothinker.corpus.ledger import LEDGER, TASKS, Ledger, LedgerError
from octothinker.data.files import Position, read
from octothinker.records import Progress, read_json
from octothinker.typed import ConfigError

SUFFIX = ".jsonl.zst"
LOGS = "logs"
SLURM_POLL_SECONDS = float(os.environ.get("OCTO_SLURM_POLL_SECONDS", "10"))

Judge = Callable[[Document], "str | None"]
"""None: the document is kept (it may have been changed); else why it is dropped. Picklable: it runs in other processes.
A method `begin(task)`, if it has one, is called before the first."""


class DroppedTooMuch(ConfigError):
    """A step dropped more than its limit: its configuration or its input is wrong."""


def shards(folder: Path) -> list[Path]:
    """The documents of a finished step, in order."""
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if not found:
        raise ConfigError(f"{folder}: no documents there (no *{SUFFIX})")
    return found


def documents(path: Path, position: Position | None = None) -> Iterator[Document]:
    """The documents of one shard; ConfigError names file and line of what is no document."""
    for row in read(path, position or Position()):
        fields = row.fields
        if not (isinstance(fields.get("text"), str) and isinstance(fields.get("id"), str)):
            raise ConfigError(
                f"{row.where}: a document has a `text` and an `id`, this has {', '.join(fields) or 'nothing'}"
            )
        metadata = fields.get("metadata") or {}
        yield Document(text=fields["text"], id=fields["id"], metadata=metadata)


class Documents(PipelineStep):
    """Reads the shard whose number is the task's. (datatrove's reader leaves out documents without text unseen.)"""

    name, type = "documents", "reader"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.files = shards(folder)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        yield from documents(self.files[rank])


class Sieve(PipelineStep):
    """Asks the judge about each document and keeps the task's ledger."""

    name, type = "sieve", "filter"

    def __init__(self, judge: Judge, folder: Path) -> None:
        super().__init__()
        self.judge, self.folder = judge, folder

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        ledger = Ledger()
        if hasattr(self.judge, "begin"):  # a judge that must know which shard it sees
            self.judge.begin(rank)
        for document in data:
            before = document.text
            ledger.enter(before)
            reason = self.judge(document)
            if reason is None:
                note_kept(ledger, document, before)
                yield document
            else:
                ledger.drop(reason, document.id, before, metadata=_brief(document.metadata))
        ledger.save(self.folder / TASKS / f"{rank:05d}.json")


def note_kept(ledger: Ledger, document: Document, before: str) -> None:
    """Enter a kept document, and count it by source, year and score."""
    metadata = document.metadata
    ledger.keep(document.id, before, document.text, metadata=_brief(metadata))
    for table in ("source", "year"):
        if metadata.get(table) not in (None, ""):
            ledger.count(table, metadata[table])
    formulas = metadata.get("formulas")
    for kind, number in formulas.items() if isinstance(formulas, dict) else ():
        ledger.count("formulas", kind, number)
    if isinstance(metadata.get("score"), (int, float)):
        ledger.count("score", score_band(metadata["score"]))


def score_band(score: float) -> str:
    """Tenths of a probability, or whole points of an annotation: `0.7-0.8`, `4`."""
    if isinstance(score, int) or score > 1.0:
        return f"{score:.0f}"
    low = min(int(score * 10), 9)
    return f"{low / 10:.1f}-{(low + 1) / 10:.1f}"


def _brief(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if not isinstance(value, str) or len(value) < 500}


def writer(out: Path) -> JsonlWriter:
    return JsonlWriter(str(out), output_filename=f"${{rank}}{SUFFIX}", compression="zstd")


def sift(judge: Judge, source: Path, out: Path, engine: Engine, drop_limit: float) -> dict[str, Any]:
    """One step that keeps or drops (or rewrites) each document; returns the stage's result."""
    steps = [Documents(source), Sieve(judge, out), writer(out)]
    run_tasks(steps, len(shards(source)), out, engine)
    return settle(out, len(shards(source)), drop_limit, source)


def settle(out: Path, tasks: int, drop_limit: float, source: Path | None = None) -> dict[str, Any]:
    """Merge the ledgers of all tasks into ledger.json and hold it to its laws; returns the stage's result.

    `source`: the folder of the step before, whose documents must all have come in.
    """
    parts = [read_json(out / TASKS / f"{task:05d}.json") for task in range(tasks)]
    ledger = Ledger.merge(parts)
    ledger.save(out / LEDGER)
    before = source / LEDGER if source else None
    if before and before.exists() and Ledger.load(before).written != ledger.read:
        raise LedgerError(
            f"{before.parent.name} wrote {dict(Ledger.load(before).written)}, but {dict(ledger.read)} came in from there"
        )
    if ledger.drop_share > drop_limit or not ledger.written["documents"]:
        raise DroppedTooMuch(
            f"{ledger.drop_share:.1%} of {ledger.read['documents']:,} documents were dropped (drop_limit={drop_limit:g}): "
            f"{ledger.reasons() or 'nothing came in'}; samples of each in {out / LEDGER}"
        )
    return ledger.result()


# ---- executors -------------------------------------------------------------------------------------------------------


def run_tasks(steps: Sequence[PipelineStep], tasks: int, out: Path, engine: Engine, logs: str = LOGS) -> None:
    """Run the pipeline once a task, those that are not done yet; raises what a task raised, or that some never ended."""
    if engine.executor == "slurm":
        executor: PipelineExecutor = _slurm(steps, tasks, out, engine, logs)
    elif engine.executor == "ray":
        executor = _ray(steps, tasks, out, engine, logs)
    else:
        executor = LocalPipelineExecutor(list(steps), tasks=tasks, logging_dir=str(out / logs))
        _run_here(executor, tasks, engine.workers or _cores(), out)
    left = executor.get_incomplete_ranks(range(tasks))
    if left:
        raise RuntimeError(
            f"{len(left)} of {tasks} tasks failed (task {left[0]} first): {_last_error(out / logs, left[0])}"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_here(executor: PipelineExecutor, tasks: int, workers: int, out: Path) -> None:
    """Tasks in processes of their own; a worker that dies is an error at once, and none outlives this process."""
    left = executor.get_incomplete_ranks(range(tasks))
    progress = Progress(out, tasks, "shards", tasks - len(left))
    if workers == 1 or len(left) <= 1:
        for done, rank in enumerate(left, tasks - len(left) + 1):
            copy.deepcopy(executor)._run_for_rank(rank, rank)  # steps have a state: open files, counts
            progress.update(done)
        return
    context = multiprocessing.get_context("fork")  # a new interpreter would import for longer than most tasks take
    with concurrent.futures.ProcessPoolExecutor(
        min(workers, len(left)), context, initializer=_die_with, initargs=(os.getpid(),)
    ) as pool:
        futures = [pool.submit(executor._run_for_rank, rank, rank) for rank in left]
        try:
            for done, future in enumerate(concurrent.futures.as_completed(futures), tasks - len(left) + 1):
                future.result()
                progress.update(done)
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _die_with(parent: int) -> None:
    """A worker whose parent was killed would go on writing beside the run that resumes, and hold its lock."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _slurm(steps: Sequence[PipelineStep], tasks: int, out: Path, engine: Engine, logs: str) -> PipelineExecutor:
    """Submit the tasks as a job array and wait until it has left the queue."""
    from datatrove.executor.slurm import SlurmPipelineExecutor

    if not engine.partition:
        raise ConfigError("engine.partition: Slurm wants the name of a partition")
    path = os.pathsep.join(filter(None, sys.path))
    setup = engine.setup or f'export PATH="{Path(sys.executable).parent}:$PATH" PYTHONPATH="{path}"'
    executor = SlurmPipelineExecutor(
        list(steps),
        tasks=tasks,
        time=engine.time,
        partition=engine.partition,
        mem_per_cpu_gb=engine.memory_gb,
        workers=engine.workers or -1,
        job_name=out.name.removesuffix(".tmp"),
        qos="",
        env_command=setup,
        logging_dir=str(out.absolute() / logs),
        requeue=False,
    )
    try:
        executor.run()
    except FileNotFoundError as error:
        raise ConfigError(f"engine.executor='slurm': {error.filename} is not here; run this on a login node") from error
    progress = Progress(out, tasks, "shards")
    while executor.job_id not in (None, -1):
        listed = subprocess.run(
            ["squeue", "-h", "-j", str(executor.job_id)], capture_output=True, text=True, check=False
        )
        progress.update(tasks - len(executor.get_incomplete_ranks(range(tasks))))
        if not listed.stdout.strip():  # an array that is over is listed no more
            break
        time.sleep(SLURM_POLL_SECONDS)
    return executor


def _ray(steps: Sequence[PipelineStep], tasks: int, out: Path, engine: Engine, logs: str) -> PipelineExecutor:
    """The same on a Ray cluster (RAY_ADDRESS), or on a local one of `workers` processes."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("engine.executor='ray': pip install ray") from error
    from datatrove.executor.ray import RayPipelineExecutor

    started = not ray.is_initialized()
    if started:
        address = os.environ.get("RAY_ADDRESS")
        cpus = None if address else engine.workers or _cores()
        ray.init(address=address, num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    try:
        workers = engine.workers or int(ray.cluster_resources().get("CPU", 1))
        executor = RayPipelineExecutor(
            list(steps),
            tasks=tasks,
            workers=workers,
            mem_per_cpu_gb=engine.memory_gb,
            logging_dir=str(out.absolute() / logs),
        )
        executor.run()
    finally:
        if started:
            ray.shutdown()
    return executor


def _last_error(logs: Path, task: int) -> str:
    """The last line of a task's log that says what was raised."""
    files = [logs / "logs" / f"task_{task:05d}.log", *sorted((logs / "slurm_logs").glob("*"), reverse=True)]
    for file in files:
        if file.exists():
            lines = [line for line in file.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
            return f"{lines[-1].strip()} ({file})" if lines else f"nothing in {file}"
    return f"no log in {logs}"
