"""Others' test suites, with this grader in the place of their comparison. A program of its own:

    pip download --no-deps --no-binary :all: math-verify==0.9.0 && tar xzf math_verify-0.9.0.tar.gz
    python tests/grade/outside_suite.py math_verify-0.9.0
    python tests/grade/outside_suite.py NeMo-Skills/tests/test_math_equal.py math/modeling/math_equivalence_test.py

`compare_strings(gold, pred)` and `verify(parse(gold), parse(pred))` become the whole-response rule (grade/whole.py); tests of
Math-Verify's inner functions stay what they are. `--peer`: Math-Verify in that place instead.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from octothinker.grade.pool import Grader
from octothinker.grade.verdict import Item


class Swap:
    """Puts `grader` into the collected test modules."""

    def __init__(self, grader: Grader) -> None:
        self.grader, self.swapped = grader, 0

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            names = vars(item.module)
            if "compare_strings" in names:
                names["compare_strings"] = lambda gold, pred, precision=6, **_: self.equal(gold, pred, precision)
            elif {"parse", "verify"} <= set(names) and "gold" in item.fixturenames:
                names["parse"], names["verify"] = str, self.equal
            else:
                continue
            self.swapped += "gold" in item.fixturenames

    def equal(self, gold: str, answer: str, places: int = 6) -> int:
        item = Item(
            answer, gold, "whole", places=places if places < 5 else None
        )  # five digits and more are ours as well
        return int(self.grader.grade([item])[0].correct is True)


OPTIONS = ["-q", "--tb=no", "-rf", "--noconftest", "-p", "no:cacheprovider"]
OPTIONS += ["-o", "addopts="]  # a suite may lie inside a project with options of its own


def math_verify_suite(folder: Path, swap: Swap, peer: bool) -> int:
    package = ModuleType("tests")  # they import each other as tests.test_all, and so do ours
    package.__path__ = [str(folder / "tests")]
    sys.modules["tests"] = package
    return int(pytest.main([*OPTIONS, f"--rootdir={folder}", str(folder / "tests")], plugins=[] if peer else [swap]))


def other_suites(files: list[Path], swap: Swap, peer: bool) -> int:
    """Tests of one function of two answers: NeMo-Skills' `math_equal` (or `verify_answer`), Hendrycks's `is_equiv`."""

    def equal(a: object, b: object) -> bool:
        if peer:
            from math_verify import parse, verify

            return bool(verify(parse(f"${a}$"), parse(f"${b}$")))
        return bool(swap.equal(f"${a}$", f"${b}$"))

    for name in ("nemo_skills", "nemo_skills.evaluation", "nemo_skills.evaluation.math_grader", "math_equivalence"):
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(math_equal=equal, verify_answer=equal, is_equiv=equal)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            text = file.read_text(encoding="utf-8").replace("from .math_equivalence", "from math_equivalence")
            (Path(folder) / file.name).write_text(text, encoding="utf-8")
        return int(pytest.main([*OPTIONS, f"--rootdir={folder}", "-o", "python_files=*.py", folder]))


def main(paths: list[Path], peer: bool) -> int:
    with Grader(timeout=60.0) as grader:  # a busy machine is no fault of an answer
        swap = Swap(grader)
        if paths[0].is_dir():
            code = math_verify_suite(paths[0], swap, peer)
            print(f"{swap.swapped} comparisons by this grader")
        else:
            code = other_suites(paths, swap, peer)
    return code


if __name__ == "__main__":
    given = [Path(argument).resolve() for argument in sys.argv[1:] if argument != "--peer"]
    raise SystemExit(main(given, "--peer" in sys.argv))
