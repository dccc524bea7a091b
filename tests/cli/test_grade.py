"""`octo grade` and `octo regrade` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from octothinker.config import RL, LengthSchedule
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import VERSION
from octothinker.records import read_jsonl, write_json
from octothinker.rl.advantage import advantages
from octothinker.rl.loop import RLRun
from octothinker.typed import to_json

Octo = Callable[..., Any]
LINES = [
    {"id": "a", "response": "so \\boxed{1/2}", "gold": "0.5"},
    {"id": "b", "response": "so \\boxed{50}", "gold": "0.5"},
    {"id": "c", "response": "so 0.5", "gold": "0.5"},
    {"id": "d", "response": "\\boxed{\\text{(B)}}", "gold": "B", "kind": "choice"},
    {"id": 5, "response": "\\boxed{7}", "gold": 7, "kind": "number"},
    {"id": "f", "response": "\\boxed{7}", "gold": ""},
]


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pair here is undecided: math-verify need not be started."""
    monkeypatch.setattr(Grader, "start", lambda self: None)


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_grade_says_of_each_line_what_it_is_worth_and_why(octo: Octo, tmp_path: Path) -> None:
    file = write(tmp_path / "outputs.jsonl", LINES)
    ended = octo("grade", str(file))
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [(r["id"], r["correct"], r["kind"], r["extracted"], r["how"]) for r in rows] == [
        ("a", True, "equal", "1/2", "fast"),
        ("b", False, "different", "50", "fast"),
        ("c", False, "no_answer", None, "rule"),
        ("d", True, "equal", "B", "rule"),
        ("5", True, "equal", "7", "fast"),
        ("f", None, "bad_gold", None, "rule"),
    ]
    assert all(row["seconds"] >= 0 for row in rows)
    assert "3 of 5 graded, 60.0%" in ended.err
    assert "bad_gold 1" in ended.err
    ended = octo("grade", str(file), "--rule", "whole", "--out", str(tmp_path / "out.jsonl"))
    assert (ended.code, ended.out) == (0, "")
    assert [r["correct"] for r in read_jsonl(tmp_path / "out.jsonl")] == [True, False, True, True, True, None]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "x", "response": "5"}', "line 2: no field 'gold'"),
        ('{"id": "x", "response": ["5"], "gold": "5"}', "line 2: field 'response' is list"),
        (
            '{"id": "x", "response": "5", "gold": "5", "kind": "word"}',
            "line 2: field 'kind' is 'word', not one of number",
        ),
        ('{"id": "x", ', "line 2: not valid JSON"),
    ],
)
def test_a_bad_line_is_named_and_leaves_no_half_file(octo: Octo, tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "outputs.jsonl"
    file.write_text(json.dumps(LINES[0]) + "\n" + line + "\n")
    ended = octo("grade", str(file), "--out", str(tmp_path / "out.jsonl"))
    assert ended.code == 2
    assert f"{file}: {said}" in ended.err
    assert not (tmp_path / "out.jsonl").exists()
    assert "only the rule" in octo("grade", str(file), "--places", "3").err


def stage(run: Path, rewards: list[float]) -> Path:
    """A finished RL stage with one step of two groups; `rewards` are what the grader of then gave to the first."""
    folder = run / "stages" / "rl.start.s0-0123456789abcdef"
    (folder / "rollouts").mkdir(parents=True)
    config = RLRun(rl=RL(problems="p", steps=1, length=LengthSchedule(limits=((0, 8),))), grader=VERSION - 1)
    write_json(folder / "manifest.json", {"config": to_json(config)})
    answers = ["5", "5.0", "6", "7"]
    rows = []
    for id, group in (("p1", rewards), ("p2", [-1.0] * 4)):
        worth = advantages(list(group), "grpo")
        for i, (answer, reward, advantage) in enumerate(zip(answers, group, worth, strict=True)):
            kind = "equal" if reward > 0 else "different"
            rows.append(
                {"step": 0, "id": id, "gold": "5" if id == "p1" else "8", "sample": i, "response": f"\\boxed{{{answer}}}",
                 "finish": "stop", "reward": reward, "advantage": advantage, "kind": kind, "extracted": answer}
            )  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rollouts" / "step-000000.jsonl.zst").write_bytes(zstandard.compress(text.encode()))
    return folder


def test_regrade_finds_the_one_reward_that_flips_and_its_groups_advantages(octo: Octo, tmp_path: Path) -> None:
    stage(tmp_path, [1.0, -1.0, -1.0, -1.0])  # a grader that did not know that 5.0 is 5
    ended = octo("regrade", str(tmp_path), "--out", str(tmp_path / "flips.jsonl"))
    assert ended.code == 0, ended.err
    (line,) = [line.split() for line in ended.out.splitlines() if line.startswith("rl.start")]
    assert line[1:] == ["1", "8", "1", "0", "4", "1", "0"]  # steps, responses, up, down, advantages, groups, timeouts
    (flip,) = read_jsonl(tmp_path / "flips.jsonl")
    assert (flip["id"], flip["sample"], flip["then"]["reward"], flip["now"]["reward"]) == ("p1", 1, -1.0, 1.0)
    assert flip["now"]["advantage"] == pytest.approx(0.866, abs=1e-3)  # (1 - 0) / 1.1547


def test_regrade_of_an_honest_run_changes_nothing(octo: Octo, tmp_path: Path) -> None:
    folder = stage(tmp_path, [1.0, 1.0, -1.0, -1.0])
    ended = octo("regrade", str(folder))
    (line,) = [line.split() for line in ended.out.splitlines() if line.startswith("rl.start")]
    assert line[1:] == ["1", "8", "0", "0", "0", "0", "0"]


def test_regrade_says_what_is_missing(octo: Octo, tmp_path: Path) -> None:
    assert "no rollouts there" in octo("regrade", str(tmp_path)).err
    folder = stage(tmp_path, [1.0, 1.0, -1.0, -1.0])
    (folder / "manifest.json").unlink()
    assert "what a reward was is not known" in octo("regrade", str(tmp_path)).err
