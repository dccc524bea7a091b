"""Benchmarks: a perfect model scores 100%, prompts are what they say, and no exemplar comes from a test set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from octothinker.config import Eval
from octothinker.data.problems import read_problems
from octothinker.evals import benchmarks
from octothinker.evals.exemplars import MINERVA, WORD_PROBLEMS
from octothinker.evals.run import eval_items
from octothinker.grade.equal import equal
from octothinker.grade.extract import cut
from octothinker.grade.pool import Grader, usable_gold
from octothinker.grade.verdict import Item
from octothinker.typed import ConfigError

NAMES = ["amc23", "asdiv", "gsm8k", "math500", "mawps", "svamp"]


def test_all_six_are_found_by_name() -> None:
    assert benchmarks.names() == NAMES
    assert benchmarks.find("gsm9k") is None
    for name in NAMES:
        benchmark = benchmarks.find(name)
        assert benchmark is not None
        assert benchmark.name == name
        assert benchmark.source
        assert benchmark.licence


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model_scores_a_hundred_per_cent(shared: Path, name: str) -> None:
    """The authors' code loses 6% of ASDiv this way. The continuation must not count: it names another answer."""
    benchmark = benchmarks.find(name)
    assert benchmark is not None
    problems = read_problems(benchmarks.problems(name, shared / "bench"))
    assert len(problems) == benchmark.rows
    assert [p.id for p in problems if usable_gold(p.answer)] == []
    items = []
    for problem in problems:
        response = benchmark.perfect(problem.answer) + "\n\nQ: And 7 more?\nA: The final answer is 123456789."
        text = cut(response, benchmarks.CONTINUATIONS)
        items.append(Item(text, problem.answer, "benchmark", answer=benchmark.answer, anchor=benchmark.anchor))
    with Grader() as grader:
        wrong = [(p.answer, v) for p, v in zip(problems, grader.grade(items), strict=True) if v.correct is not True]
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_another_problems_answer_scores_next_to_nothing(shared: Path, name: str) -> None:
    """The test above would pass with a grader that says yes to all."""
    benchmark = benchmarks.find(name)
    assert benchmark is not None
    problems = read_problems(benchmarks.problems(name, shared / "bench"))[:200]
    golds = [p.answer for p in problems]
    others = golds[1:] + golds[:1]
    pairs = [(gold, other) for gold, other in zip(golds, others, strict=True) if not equal(gold, other)]
    with Grader() as grader:
        verdicts = grader.grade(
            [
                Item(benchmark.perfect(o), g, "benchmark", answer=benchmark.answer, anchor=benchmark.anchor)
                for g, o in pairs
            ]
        )
    assert len(pairs) >= 0.8 * len(golds)
    assert not any(v.correct for v in verdicts)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("svamp", ("chal-777", "145", "Common-Division")),
        ("asdiv", ("0", "9", "Addition")),
        ("mawps", ("0", "43", "singleeq")),
        ("amc23", ("0", "27", "")),
        ("math500", ("test/precalculus/807.json", "\\left( 3, \\frac{\\pi}{2} \\right)", "2")),
    ],
)
def test_fields(shared: Path, name: str, first: tuple[str, str, str]) -> None:
    problem = read_problems(benchmarks.problems(name, shared / "bench"))[0]
    assert (problem.id, problem.answer, problem.level) == first
    if name == "svamp":  # the body and the question are two fields, and some bodies have no full stop
        assert problem.question.endswith("into 93 groups. How big is each group of bananas?")


def test_the_hubs_gsm8k_is_read_too(tmp_path: Path) -> None:
    row = {"question": "How many?", "answer": "She has 2*3=<<2*3=6>>6.\n#### 1,006"}
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps(row) + "\n")
    (problem,) = read_problems(benchmarks.problems("gsm8k", tmp_path))
    assert problem.answer == "1,006"


def test_few_shot_prompt_ends_with_the_question_and_shows_the_form() -> None:
    benchmark = benchmarks.find("gsm8k")
    assert benchmark is not None
    prompt = benchmark.few_shot("How many {question} are \\boxed{1}?")
    assert prompt.endswith("\n\nQ: How many {question} are \\boxed{1}?\nA:")
    assert prompt.count("\nA:") == 9
    assert prompt.count("The answer is 19.\n\nQ:") == 1
    minerva = benchmarks.find("math500")
    assert minerva is not None
    assert minerva.few_shot("$x$?").endswith("I hope it is correct.\n\nProblem:\n$x$?\n\nSolution:")
    amc = benchmarks.find("amc23")
    assert amc is not None
    assert amc.few_shot("x?") == "Q: x?\nA:"  # zero-shot, and no trailing space


@pytest.mark.parametrize("shot", [*WORD_PROBLEMS, *MINERVA], ids=lambda shot: shot[0][:20])
def test_exemplars_answer_what_they_work_out(shot: tuple[str, str, str]) -> None:
    _, working, answer = shot
    last = re.findall(r"\$[^$]+\$|[0-9.]*[0-9]", working)[-1].strip("$").rpartition("= ")[2]
    assert equal(answer, last) or answer == "(-2,5)"


def test_exemplars_are_in_no_test_set(shared: Path) -> None:
    """No eight words in a row in common with any question."""
    ours = {words for question, _, _ in (*WORD_PROBLEMS, *MINERVA) for words in ngrams(question)}
    assert len(ours) > 150
    for file in sorted((shared / "bench").glob("*/test.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            fields = [value for value in json.loads(line).values() if isinstance(value, str)]
            for field in fields:
                assert not ours & ngrams(field), (file.parent.name, field)


def ngrams(text: str, n: int = 8) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"svamp/test\.jsonl"):
        benchmarks.problems("svamp", tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'gsm8k'"):
        benchmarks.problems("gsm8", tmp_path)
    (tmp_path / "svamp.jsonl").write_text('{"ID": "1", "Body": "A.", "Answer": 2.0, "Type": "t"}\n')
    with pytest.raises(ConfigError, match=r"line 1: no field 'Question'"):
        read_problems(benchmarks.problems("svamp", tmp_path))
    (tmp_path / "mawps.jsonl").write_text("{}\n[1]\n")
    with pytest.raises(ConfigError, match="line 1: no field 'idx'"):
        read_problems(benchmarks.problems("mawps", tmp_path))


def test_a_file_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mawps.jsonl"
    file.write_text('{"idx": 0, "input": "a?", "target": 1.0, "type": "t"}\n')
    config = benchmarks.problems("mawps", tmp_path)
    assert len(read_problems(config)) == 1
    file.write_text('{"idx": 0, "input": "a?", "target": 2.0, "type": "t"}\n')
    with pytest.raises(ConfigError, match="changed since"):
        read_problems(config)


def test_a_file_of_ones_own_needs_no_module(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"question": "1+1?", "answer": 2}\n')
    (problem,) = read_problems(benchmarks.problems("sums", tmp_path))
    assert (problem.question, problem.answer) == ("1+1?", "2")


ROW = {"id": "1", "question": "1+1?", "answer": "2", "level": ""}


def test_items_carry_the_benchmarks_rule_and_the_templates_prompt() -> None:
    few, zero = (Eval(problems=("gsm8k",), template=t, stop=("END",)) for t in ("few_shot", "simple"))
    (item,) = eval_items("gsm8k", [ROW], few)
    assert item.prompt.endswith("Q: 1+1?\nA:") and item.answer == "number" and item.stop == ("END", "\nQ:")
    (item,) = eval_items("gsm8k", [ROW], zero)
    assert item.prompt == "Question:1+1?\nAnswer:" and item.stop == ("END",)
    (item,) = eval_items("sums", [ROW, ROW], Eval(problems=("sums",), limit=1))
    assert item.answer == "expression"
    with pytest.raises(ConfigError, match="'sums' has no exemplars"):
        eval_items("sums", [ROW], few)
