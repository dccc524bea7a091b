"""Real golds: each equals itself, none equals another problem's unless both say the same, and math-verify agrees."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from octothinker.grade.equal import equal
from octothinker.grade.normalize import THOUSANDS, clean, squash
from octothinker.grade.pool import COMMAND, Worker, usable_gold

SETS = {"math500": 0, "gsm8k": 0, "olympiad_bench": 0, "ocw": 0, "math8k": 2}
"""Set -> golds that are empty in the file."""


def golds(shared: Path, name: str) -> list[str]:
    file = next((shared / "bench" / name).glob("t*.jsonl"))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row["final_answer"][0] if "final_answer" in row else row["answer"] for row in rows]


def respelt(gold: str) -> str:
    """The same answer as a model might write it."""
    out = gold.replace("\\frac", "\\dfrac").replace("(", "\\left( ").replace(")", " \\right)")
    out = out if THOUSANDS.search(clean(gold)) else out.replace(",", ", ")
    return f"${out}$." if "$" not in gold else out


def bumped(gold: str) -> str:
    """Another answer: the last number in it one higher."""
    return re.sub(r"[0-9]+(?=[^0-9]*$)", lambda m: str(int(m.group()) + 1), gold, count=1)


@pytest.mark.parametrize("name", SETS)
def test_every_gold_is_usable_and_itself(shared: Path, name: str) -> None:
    answers = golds(shared, name)
    bad = [gold for gold in answers if usable_gold(gold) is not None]
    assert [gold.strip() for gold in bad] == [""] * SETS[name]
    wrong = [gold for gold in answers if gold.strip() and equal(gold, gold + " ") is not True]
    assert wrong == []


@pytest.mark.parametrize("name", SETS)
def test_no_other_problems_gold_is_right(shared: Path, name: str) -> None:
    """What counts as the same must look the same once spaces, `$`, degrees and a name before `=` are off."""
    answers, rng, decided, accepted = [g for g in golds(shared, name) if g.strip()], random.Random(0), 0, 0
    for gold in answers:
        other = rng.choice(answers)
        verdict = equal(gold, other)
        decided += verdict is not None
        if verdict:
            accepted += 1
            plain = [re.sub(r"^[a-z(]*\)?=|[$\s,]|\\frac|[{}]", "", clean(text)) for text in (gold, other)]
            assert plain[0] == plain[1] or equal(other, gold), (gold, other)
    assert accepted < len(answers) * 0.05
    assert decided >= len(answers) * (0.75 if name == "ocw" else 0.95)


@pytest.fixture(scope="module")
def math_verify() -> Iterator[Worker]:
    worker = Worker([*COMMAND, "3072"], timeout=5.0)
    yield worker
    worker.stop()


@pytest.mark.parametrize("name", ["math500", "math8k", "olympiad_bench"])
def test_math_verify_agrees_where_the_exact_path_decides(shared: Path, math_verify: Worker, name: str) -> None:
    """On a sample: the gold respelt, bumped by one, and another problem's. It is known to pass over number bases,
    letter subscripts and powers of units."""
    answers = [g for g in golds(shared, name) if g.strip() and not re.fullmatch(r"-?[0-9]+", g)]
    rng, compared = random.Random(1), 0
    for gold in rng.sample(answers, 60):
        for answer in (respelt(gold), bumped(gold), rng.choice(answers)):
            fast = equal(gold, answer)
            if fast is None or re.search(r"_|\^\{?[23]\}?$|\\!", gold):
                continue
            compared += 1
            slow = math_verify.ask(clean(gold), clean(answer))
            assert slow in (fast, None) or squash(clean(gold)) == squash(clean(answer)), (gold, answer)
    assert compared >= 120
