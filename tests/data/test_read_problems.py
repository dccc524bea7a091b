"""Problem sets: field names, ids, and what makes a set unfit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from octothinker.config import Problems
from octothinker.data.problems import Problem, read_problems
from octothinker.typed import ConfigError


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_field_names_numbers_levels_and_ids(tmp_path: Path) -> None:
    rows = (
        {"Q": " 1+1? ", "A": 2.0, "hard": 3, "id": 7},
        {"Q": "Which letter?", "A": "\\text{(B)}", "hard": None, "id": "x"},
        {"Q": "No level", "A": -0.5, "id": 8.0},
    )
    path = write(tmp_path / "set.jsonl", *rows)
    assert read_problems(Problems(path=path, question="Q", answer="A", level="hard")) == [
        Problem("7", "1+1?", "2", "3"),
        Problem("x", "Which letter?", "\\text{(B)}", ""),
        Problem("8", "No level", "-0.5", ""),
    ]


def test_rows_without_an_id_are_named_by_their_place_in_the_folders_one_file(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", {"question": "a", "answer": "1"}, {"question": "b", "answer": "2"})
    assert [problem.id for problem in read_problems(Problems(path=str(tmp_path)))] == ["train-1", "train-2"]
    write(tmp_path / "test.jsonl", {"question": "c", "answer": "3"})
    with pytest.raises(ConfigError, match=r"which of test\.jsonl, train\.jsonl\?"):
        read_problems(Problems(path=str(tmp_path)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "b", "answer": " "}, r"set\.jsonl: line 2: field 'answer' is empty; skip_empty_answers"),
        ({"question": "", "answer": "2"}, r"set\.jsonl: line 2: field 'question' is empty$"),
        ({"question": "b", "solution": "2"}, r"set\.jsonl: line 2: no field 'answer'; it has: question, solution"),
        ({"question": "b", "answer": None}, r"set\.jsonl: line 2: field 'answer' is null"),
        ({"question": "b", "answer": ["2"]}, r"set\.jsonl: line 2: field 'answer' is list"),
        ({"question": "b", "answer": "2", "id": "set-1"}, r"line 2: id 'set-1' stands already at .*set\.jsonl: line 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict, message: str) -> None:
    path = write(tmp_path / "set.jsonl", {"question": "a", "answer": "1"}, row)
    with pytest.raises(ConfigError, match=message):
        read_problems(Problems(path=path))


def test_empty_answers_can_be_left_out_and_an_empty_set_cannot(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", {"question": "a", "answer": ""}, {"question": "b", "answer": "2"})
    assert read_problems(Problems(path=path, skip_empty_answers=True)) == [Problem("set-2", "b", "2", "")]
    with pytest.raises(ConfigError, match="no problems there"):
        read_problems(Problems(path=write(tmp_path / "set.jsonl"), skip_empty_answers=True))


def test_generated_problems(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(
        "def sums(n):\n    for i in range(n):\n        yield {'question': f'{i}+1?', 'answer': i + 1, 'level': 'easy'}\n"
    )
    spec = Problems(generator=f"{tmp_path}/sums.py:sums", args={"n": 2})
    assert read_problems(spec) == [Problem("sums-1", "0+1?", "1", "easy"), Problem("sums-2", "1+1?", "2", "easy")]


def test_the_papers_rl_problems(shared: Path) -> None:
    """MATH8K as published has two rows without an answer (5,055 and 5,159), which must not reach a reward."""
    path = str(shared / "bench" / "math8k")
    with pytest.raises(ConfigError, match=r"train\.jsonl: line 5055: field 'answer' is empty"):
        read_problems(Problems(path=path))
    problems = read_problems(Problems(path=path, skip_empty_answers=True))
    assert len(problems) == 8521
    assert {problem.level for problem in problems} == {"3", "4", "5"}
