"""Graders behind one signature, (gold, whole response) -> bool, each as its documentation says for boxed answers.

`python -P -m octothinker.bench.with_graders NAME FOLDER MEGABYTES` answers pairs as grade/worker.py does, in FOLDER: some of
them evaluate what a model wrote, so their processes are killed when they overrun, and what they leave lies there.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octothinker.bench.pairs import pairs
from octothinker.grade.pool import Grader, Item
from octothinker.grade.worker import run

Judge = Callable[[str, str], bool]


def ours() -> Judge:
    grader = Grader()
    grader.start()
    return lambda gold, response: grader.grade([Item(response, gold)])[0].correct is True


def math_verify() -> Judge:
    """Gold in a box, the last box of the response first: its advice for rewards."""
    from math_verify import LatexExtractionConfig, parse, verify

    latex = [LatexExtractionConfig(boxed_match_priority=0)]
    return lambda gold, response: bool(verify(parse(f"\\boxed{{{gold}}}", latex), parse(response, latex)))


def mathruler() -> Judge:
    from mathruler.grader import extract_boxed_content, grade_answer

    return lambda gold, response: bool(grade_answer(extract_boxed_content(response), gold))


def verl() -> Judge:
    """Its `math_dapo`, boxes only. From its file: the whole package wants Ray and more."""
    package = importlib.util.find_spec("verl")
    assert package is not None and package.origin is not None
    file = Path(package.origin).parent / "utils" / "reward_score" / "math_dapo.py"
    spec = importlib.util.spec_from_file_location("math_dapo", file)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda gold, response: bool(module.compute_score(response, gold, strict_box_verify=True)["acc"])


LOADERS: dict[str, Callable[[], Judge]] = {
    "octothinker": ours,
    "math-verify": math_verify,
    "mathruler": mathruler,
    "verl": verl,
}
MODULES = {"math-verify": "math_verify", "mathruler": "mathruler", "verl": "verl"}


def grading(spec: dict[str, Any], tick: Callable[[], None]) -> None:
    """Rounds over the same pairs; nothing is remembered of a round but what the grader itself keeps."""
    judge = LOADERS[spec["side"]]()
    for seed in range(1_000_000):
        found = pairs(spec["prompts"], seed)
        if seed == 0:
            tick()  # warm
        for pair in found:
            judge(pair.gold, pair.response)
        tick()


if __name__ == "__main__":
    os.chdir(sys.argv[2])
    run(LOADERS[sys.argv[1]], int(sys.argv[3]))
