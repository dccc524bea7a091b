"""Extraction of many pages by worker processes; a page that takes too long or kills its worker costs only itself.

pages -> [one page a worker; killed and replaced after limits.seconds] -> results in the order of the pages
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from socket import socketpair
from typing import NamedTuple

from octothinker.corpus.extract.page import Formula, Limits, Page
from octothinker.corpus.read import RawPage
from octothinker.typed import ConfigError

MEMORY_MB = 4096
"""Address space of a worker."""
START_SECONDS = 120.0
"""For its imports; a page's own time begins when it has said that it is ready."""
PAGES_PER_WORKER = 20_000
AHEAD = 8
"""Results, of each worker, that may wait for an earlier page: memory stays flat."""


class Result(NamedTuple):
    """A page, or the reason why there is none (too_large, too_deep, too_many_formulas, empty, timeout, crashed, error, …)."""

    raw: RawPage
    page: Page | None
    reason: str = ""
    detail: str = ""


class Worker:
    """One process and the page that it works on."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.pages = limits, 0
        self.index = -1
        self.ready, self.deadline = False, 0.0
        ours, theirs = socketpair()
        command = [
            sys.executable,
            "-P",
            "-m",
            "octothinker.corpus.extract.worker",
            str(theirs.fileno()),
            json.dumps(asdict(limits)),
        ]
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [*command, str(MEMORY_MB)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()
        self.link = Connection(ours.detach())

    def give(self, index: int, page: RawPage) -> None:
        self.index = index
        self.deadline = time.monotonic() + (self.limits.seconds if self.ready else START_SECONDS)
        self.pages += 1
        head = json.dumps({"url": page.url, "charset": page.charset}).encode()
        self.link.send_bytes(head + b"\n" + page.html)

    def stop(self) -> None:
        self.process.kill()
        self.link.close()
        self.process.wait()


def extract_all(pages: Iterable[RawPage], workers: int = 1, limits: Limits | None = None) -> Iterator[Result]:
    """A result for every page, in their order. Leaves no process behind, also when it is closed half-way."""
    limits = limits or Limits()
    source, pool, idle = enumerate(pages), [], []  # type: ignore[var-annotated]
    waiting: deque[int] = deque()
    raws: dict[int, RawPage] = {}
    done: dict[int, Result] = {}
    more = True
    try:
        while more or waiting:
            while more and len(waiting) < AHEAD * workers and (idle or len(pool) < workers):
                index, raw = next(source, (-1, None))
                if raw is None:
                    more = False
                    break
                waiting.append(index)
                if len(raw.html) > limits.bytes:  # not worth sending
                    done[index] = Result(raw, None, "too_large", f"{len(raw.html)} bytes")
                    continue
                raws[index] = raw
                worker = idle.pop() if idle else Worker(limits)
                if worker not in pool:
                    pool.append(worker)
                _give(worker, index, raw, done)
                if index in done:
                    _retire(worker, pool)
            _collect(pool, idle, raws, done, bool(waiting) and waiting[0] not in done)
            while waiting and waiting[0] in done:
                raws.pop(waiting[0], None)
                yield done.pop(waiting.popleft())
    finally:
        for worker in pool:
            worker.stop()


def _give(worker: Worker, index: int, raw: RawPage, done: dict[int, Result]) -> None:
    try:
        worker.give(index, raw)
    except OSError as error:  # it died between two pages
        if not worker.ready:
            raise _not_started(worker.process.wait()) from None
        done[index] = Result(raw, None, "crashed", str(error))


def _not_started(code: int) -> ConfigError:
    """Every page would fail the same way: no result is better than one in which all are counted as crashed."""
    return ConfigError(
        f"an extraction worker ended with code {code} before its first page; pip install 'octothinker[corpus]'"
    )


def _retire(worker: Worker, pool: list[Worker]) -> None:
    worker.stop()
    pool.remove(worker)


def _collect(
    pool: list[Worker], idle: list[Worker], raws: dict[int, RawPage], done: dict[int, Result], block: bool
) -> None:
    """Take in what workers have finished; kill those whose time is over. `block`: wait for the first."""
    busy = [worker for worker in pool if worker not in idle]
    if not busy:
        return
    left = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    ready = wait([worker.link for worker in busy], left if block else 0.0)
    for worker in busy:
        raw = raws.get(worker.index)
        assert raw is not None
        if worker.link in ready:
            try:
                answer = json.loads(worker.link.recv_bytes())
            except (EOFError, OSError):
                code = worker.process.wait()
                if not worker.ready:
                    raise _not_started(code) from None
                done[worker.index] = Result(raw, None, "crashed", f"its process ended with code {code}")
                _retire(worker, pool)
                continue
            if "ready" in answer:
                worker.ready, worker.deadline = True, time.monotonic() + worker.limits.seconds
                continue
            done[worker.index] = _result(raw, answer)
            if worker.pages >= PAGES_PER_WORKER:
                _retire(worker, pool)
            else:
                idle.append(worker)
        elif time.monotonic() > worker.deadline:
            if not worker.ready:
                raise RuntimeError(f"an extraction worker was not up after {START_SECONDS:g} seconds")
            done[worker.index] = Result(raw, None, "timeout", f"more than {worker.limits.seconds:g} seconds")
            _retire(worker, pool)


def _result(raw: RawPage, answer: dict[str, object]) -> Result:
    if "reason" in answer:
        return Result(raw, None, str(answer["reason"]), str(answer.get("detail", "")))
    formulas = [Formula(*formula) for formula in answer["formulas"]]  # type: ignore[attr-defined]
    return Result(raw, Page(str(answer["title"]), str(answer["text"]), formulas))
