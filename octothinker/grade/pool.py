"""The grader: extraction and exact comparison in this process, what they leave open to math-verify in workers.

    Item -> extract -> equal (exact) -> hopeless (guards) -> worker: math-verify, killed after `timeout` seconds

Workers are plain subprocesses (`python -m octothinker.grade.worker`), so nothing is forked and a script needs no main
guard. They start with the first undecided pair; a run of integer answers never starts one.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import TracebackType

from octothinker.grade.equal import equal, hopeless
from octothinker.grade.extract import answer_of, boxed, boxes
from octothinker.grade.literal import literal
from octothinker.grade.normalize import MAX_LENGTH, clean
from octothinker.grade.verdict import Item, Kind, Verdict
from octothinker.grade.whole import rounded, whole

COMMAND = [sys.executable, "-P", "-m", "octothinker.grade.worker"]
"""-P: a file called sympy.py in the working folder is not imported."""
START_SECONDS = 120.0
PATIENCE = 0.25
"""Seconds after which a spare worker starts: nearly every verdict takes less."""
CALLS_PER_WORKER = 10_000
"""sympy's caches grow; a fresh process keeps memory flat."""
CACHE = 100_000


def unwrapped(gold: str) -> str:
    r"""A gold that is nothing but one box, `$\boxed{7}$.`, as the content of that box. (`$` and the like: normalize.clean.)"""
    found, _ = boxes(gold) if "\\boxed" in gold else ([], False)
    if len(found) != 1:
        return gold
    box, content, end = found[0]
    around = gold[:box] + gold[end + 1 :]
    return gold[content:end] if re.fullmatch(r"(?:\s|\$|\\[()\[\]]|\.)*", around) else gold


@lru_cache(maxsize=1 << 14)
def usable_gold(gold: str) -> str | None:
    """Why a gold answer cannot be graded against, or None."""
    if not isinstance(gold, str):
        return f"is not a text but {type(gold).__name__}"
    gold = unwrapped(gold)
    if not gold.strip() or not clean(gold):
        return "is empty"
    if len(gold) > 4 * MAX_LENGTH:
        return f"has more than {4 * MAX_LENGTH} characters"
    if boxed(f"\\boxed{{{gold}}}") != gold.strip():
        return "cannot stand in a box: its braces are not balanced, or it holds a box itself"
    return None if equal(gold, gold) else "is not equal to itself"


class Worker:
    """One math-verify process; `ask` blocks for at most `timeout` seconds once it is up.

    When an answer takes long its process will probably be killed: a spare one starts meanwhile, so that the next answer does
    not wait for it.
    """

    def __init__(self, command: list[str], timeout: float) -> None:
        self.command, self.timeout = command, timeout
        self.calls = self.total = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.spare: subprocess.Popen[bytes] | None = None
        self._line = b""

    def _spawn(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
        )

    def start(self) -> None:
        self.process, self.spare = self.spare or self._spawn(), None
        self.calls, self._line = 0, b""
        try:
            ready = self._read(START_SECONDS) or {}
        except EOFError:
            ready = {"error": "it ended without a word"}
        if "ready" not in ready:
            self.stop()
            why = ready.get("error", f"no answer in {START_SECONDS:.0f} seconds")
            raise RuntimeError(f"grade: the math-verify worker did not start: {why}")

    def ask(self, gold: str, answer: str) -> bool | None:
        """math-verify's verdict; None when it took too long, too much memory, or two processes' lives."""
        request = json.dumps({"gold": gold, "answer": answer, "seconds": self.timeout}).encode() + b"\n"
        for _ in range(2):  # it may have died between two calls: that is no fault of this answer
            if self.process is None or self.calls >= CALLS_PER_WORKER:
                self.stop()
                self.start()
            assert self.process is not None and self.process.stdin is not None
            self.calls, self.total = self.calls + 1, self.total + 1
            try:
                self.process.stdin.write(request)
                reply = self._read(min(PATIENCE, self.timeout))
                if reply is None and self.timeout > PATIENCE:
                    self.spare = self.spare or self._spawn()
                    reply = self._read(self.timeout - PATIENCE)
            except (BrokenPipeError, EOFError):
                self.stop()
                continue
            except BaseException:  # interrupted: its answer would be taken for the next one's
                self.stop()
                raise
            if reply is not None and reply["equal"] is not None:
                return bool(reply["equal"])
            self.stop()
            return None
        return None

    def _read(self, seconds: float) -> dict[str, object] | None:
        """One line of JSON from the worker; None if it does not come in time, EOFError if it will never come."""
        assert self.process is not None and self.process.stdout is not None
        deadline, stream = time.monotonic() + seconds, self.process.stdout.fileno()
        while not self._line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                return None
            piece = os.read(stream, 65536)
            if not piece:
                raise EOFError
            self._line += piece
        line, self._line = self._line, b""
        return dict(json.loads(line))

    def stop(self) -> None:
        _kill(self.process)
        self.process = None

    def close(self) -> None:
        self.stop()
        _kill(self.spare)
        self.spare = None


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()


class Grader:
    """Grades responses; a context manager that leaves no process behind. Threads may share one.

    `counts` adds up over all calls: graded, no_box, fast, guard, slow, slow_true, timeout, bad_gold. A sudden rise of
    slow_true among the rewarded is the sign of a policy that has found a weakness of the slow path.
    """

    def __init__(
        self, timeout: float = 2.0, workers: int = 1, memory_mb: int = 3072, command: Sequence[str] = COMMAND
    ) -> None:
        """timeout: seconds for one slow verdict. memory_mb: address space of a worker."""
        self.counts: Counter[str] = Counter()
        self._workers: SimpleQueue[Worker] = SimpleQueue()
        self._all = [Worker([*command, str(memory_mb)], timeout) for _ in range(workers)]
        for worker in self._all:
            self._workers.put(worker)
        self._known: dict[tuple[str, str], bool] = {}
        self._counting = Lock()

    def __enter__(self) -> Grader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for worker in self._all:
            worker.close()

    def start(self) -> None:
        """Start the workers now and not with the first undecided pair. RuntimeError: math-verify is not fit for use."""
        for worker in self._all:
            if worker.process is None:
                worker.start()

    @property
    def calls(self) -> int:
        """Questions asked of math-verify so far."""
        return sum(worker.total for worker in self._all)

    @property
    def pids(self) -> list[int]:
        return [p.pid for worker in self._all for p in (worker.process, worker.spare) if p is not None]

    def grade(self, items: Sequence[Item]) -> list[Verdict]:
        """One verdict an item, in their order. Equal pairs of (gold, answer) are judged once."""
        found = [self._fast(item) for item in items]
        slow = self._slow(list(dict.fromkeys(x for x in found if isinstance(x, tuple))))  # in order: the worker's too
        out = []
        for verdict in found:
            if isinstance(verdict, tuple):
                correct = slow[verdict]
                kind: Kind = "timeout" if correct is None else "equal" if correct else "different"
                verdict = Verdict(correct, kind, verdict[1], "slow")
            self._count(verdict)
            out.append(verdict)
        return out

    def _fast(self, item: Item) -> Verdict | tuple[str, str]:
        """A verdict, or the pair (gold, answer) whose equality is still open."""
        free = item.rule == "whole"
        gold = (whole(item.gold) or item.gold) if free else unwrapped(item.gold)
        if usable_gold(gold) is not None:
            return Verdict(None, "bad_gold", None)
        answer = whole(item.response) if free else answer_of(item, literal(clean(gold)) is not None)
        if answer is None:
            return Verdict(False, "truncated" if item.truncated else "no_answer", None)
        if free and item.places is not None:
            gold, answer = rounded(gold, item.places), rounded(answer, item.places)
        correct = equal(gold, answer)
        if correct is False and free:  # not what a reward is paid for: what is left to compute is computed
            correct = None if "\\begin" in gold and "\\begin" in answer else equal(answer, gold)
        if correct is None and hopeless(gold, answer):
            return Verdict(False, "different", answer, "guard")
        return (
            (gold, answer) if correct is None else Verdict(correct, "equal" if correct else "different", answer, "fast")
        )

    def _slow(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], bool | None]:
        known = {pair: self._known[pair] for pair in pairs if pair in self._known}
        new = [pair for pair in pairs if pair not in known]
        if len(self._all) > 1 and len(new) > 1:
            with ThreadPoolExecutor(len(self._all)) as threads:
                answers = list(threads.map(self._ask, new))
        else:
            answers = [self._ask(pair) for pair in new]
        if len(self._known) + len(new) > CACHE:
            self._known.clear()
        fresh = dict(zip(new, answers, strict=True))
        self._known.update({pair: answer for pair, answer in fresh.items() if answer is not None})
        return {**known, **fresh}

    def _ask(self, pair: tuple[str, str]) -> bool | None:
        worker = self._workers.get()
        try:
            return worker.ask(clean(pair[0]), clean(pair[1]))
        finally:
            self._workers.put(worker)

    def _count(self, verdict: Verdict) -> None:
        with self._counting:
            self.counts["graded"] += verdict.correct is not None
            self.counts["no_box"] += verdict.kind in ("no_answer", "truncated")
            self.counts[verdict.kind if verdict.correct is None else verdict.how] += 1
            self.counts["slow_true"] += verdict.how == "slow" and verdict.correct is True
