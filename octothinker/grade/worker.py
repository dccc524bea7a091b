"""The slow path's process: math-verify behind a line of JSON in, a line of JSON out. Started by pool.py only.

Its parent kills it when it overruns; should the parent be gone, the alarm does. It never evaluates text: answers are read
by math-verify's LaTeX grammar alone (its plain-expression reader, which calls Python's eval through sympy, is not used).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any

ANTLR = ("4.9.3", "4.11", "4.13.2")
"""Runtimes for which latex2sympy2_extended ships a parser."""
PROBES = [(r"\frac{1}{2}", "0.5", True), ("x+1", "1+x", True), (r"\sin^2 x+\cos^2 x", "1", True), ("x+1", "x+2", False)]


def limit_memory(megabytes: int) -> None:
    with contextlib.suppress(ImportError):  # no such limit on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def load() -> Callable[[str, str], bool]:
    """math-verify as a function of (gold, answer); ImportError or RuntimeError when it is not fit for use."""
    try:
        antlr = version("antlr4-python3-runtime")
    except PackageNotFoundError:
        raise ImportError("antlr4-python3-runtime is not installed: pip install 'math-verify[antlr4-13-2]'") from None
    if not antlr.startswith(ANTLR):
        raise RuntimeError(f"antlr4-python3-runtime {antlr} has no parser here; one of {', '.join(ANTLR)} is needed")
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    latex = [LatexExtractionConfig(boxed_match_priority=0)]
    parsed: dict[str, list[Any]] = {}

    def read(text: str) -> list[Any]:
        return list(parse(f"\\boxed{{{text}}}", latex, fallback_mode="no_fallback", parsing_timeout=None))

    def compare(gold: str, answer: str) -> bool:
        if gold not in parsed:
            if len(parsed) > 10_000:
                parsed.clear()
            parsed[gold] = read(gold)
        return bool(verify(parsed[gold], read(answer), timeout_seconds=None))

    for gold, answer, right in PROBES:
        if compare(gold, answer) is not right:
            raise RuntimeError(
                f"math-verify with antlr {antlr} says {not right} to {gold!r} = {answer!r}: not fit for use"
            )
    return compare


def serve(requests: IO[str], answers: IO[str], load: Callable[[], Callable[[str, str], bool]] = load) -> None:
    """Lines {"gold", "answer", "seconds"} -> lines {"equal": bool | null, "error"?: name}. The first line says ready."""

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        compare = load()
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return
    say({"ready": True})
    for line in requests:
        request = json.loads(line)
        signal.alarm(int(request["seconds"]) + 5)  # default action: die, even inside C code
        try:
            say({"equal": compare(request["gold"], request["answer"])})
        except (MemoryError, RecursionError) as error:
            say({"equal": None, "error": type(error).__name__})
        except Exception as error:
            say({"equal": False, "error": type(error).__name__})
        signal.alarm(0)


def run(load: Callable[[], Callable[[str, str], bool]], megabytes: int) -> None:
    """Serve on standard input and output, within so much memory."""
    limit_memory(megabytes)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints stays out of the answers
    serve(sys.stdin, answers, load)


if __name__ == "__main__":
    run(load, int(sys.argv[1]))
