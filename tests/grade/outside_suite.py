"""Math-Verify's own test suite, with this grader in the place of its comparison. A program of its own:

    pip download --no-deps --no-binary :all: math-verify==0.9.0 && tar xzf math_verify-0.9.0.tar.gz
    python tests/grade/outside_suite.py math_verify-0.9.0

`compare_strings(gold, pred)` and `verify(parse(gold), parse(pred))` become the whole-response rule (grade/whole.py); tests of
Math-Verify's inner functions stay what they are. `--peer` leaves everything as it is: Math-Verify on itself.
"""

from __future__ import annotations

import sys
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


def main(folder: Path, peer: bool) -> int:
    options = ["-q", "--tb=no", "-rf", "--noconftest", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    options += ["-o", "addopts="]  # the suite may lie inside a project with options of its own
    package = ModuleType("tests")  # they import each other as tests.test_all, and so do ours
    package.__path__ = [str(folder / "tests")]
    sys.modules["tests"] = package
    with Grader(timeout=60.0) as grader:  # a busy machine is no fault of an answer
        swap = Swap(grader)
        code = pytest.main([*options, str(folder / "tests")], plugins=[] if peer else [swap])
    print(f"{swap.swapped} comparisons by this grader")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve(), "--peer" in sys.argv))
