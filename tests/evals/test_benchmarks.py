"""Benchmarks: a perfect model scores 100%, prompts are what they say, and no exemplar comes from a test set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from octothinker.config import Eval
from octothinker.data.problems import Problem, read_problems
from octothinker.evals import benchmarks, suites
from octothinker.evals.benchmarks import Benchmark, PaperRule
from octothinker.evals.exemplars import COURSES, MINERVA, STEM_CHOICE, WORD_PROBLEMS, Prompt, _fill
from octothinker.evals.judge import Reading, choice, close, judge, judge_as_paper
from octothinker.evals.paper_rule import correct
from octothinker.evals.run import eval_items
from octothinker.grade.equal import equal
from octothinker.grade.pool import Grader, usable_gold
from octothinker.grade.verdict import Item
from octothinker.typed import ConfigError

NAMES = benchmarks.names()
FILES = [name for name in NAMES if name != "gpqa"]  # gated: there is no file of it
CEILINGS = {
    "gsm8k": 98.9, "math": 99.7, "math500": 100.0, "olympiad_bench": 93.3, "amc23": 100.0, "sat": 100.0, "ocw": 97.1,
    "mmlu_stem": 100.0, "mathqa": 84.1, "svamp": 100.0, "asdiv": 94.1, "mawps": 100.0, "tabmwp": 97.6,
}  # fmt: skip
"""What a perfect model scores by the authors' own code, measured on it."""


def get(name: str) -> Benchmark:
    benchmark = benchmarks.find(name)
    assert benchmark is not None
    return benchmark


def perfect(prompt: Prompt, answer: str) -> str:
    """What a model that imitates the exemplars writes to give this answer."""
    shot = prompt.shot.removeprefix(prompt.ask)
    return _fill(shot, question="", working="So it is.", answer=answer).rstrip("\n")


def readings(name: str, problems: list[Problem], answers: list[str], more: str = "") -> list[Reading]:
    b = get(name)
    return [
        Reading(
            response=perfect(b.prompt, answer) + more, gold=p.answer, truncated=False, boxed_only=False, answer=b.answer,
            anchor=b.prompt.anchor, tolerance=b.tolerance, question=p.question, paper=b.paper,
        )
        for p, answer in zip(problems, answers, strict=True)
    ]  # fmt: skip


def test_all_are_found_by_name() -> None:
    assert len(NAMES) == 18 and set(suites.PAPER) < set(NAMES)
    assert sorted(suites.SUITES["full"].problems) == NAMES
    assert benchmarks.find("gsm9k") is None
    for name in NAMES:
        benchmark = get(name)
        assert benchmark.name == name
        assert benchmark.source
        assert benchmark.licence


@pytest.mark.parametrize("name", FILES)
def test_a_perfect_model_scores_a_hundred_per_cent(shared: Path, name: str) -> None:
    """The continuation must not count: it names another answer. By the paper's rule it scores what their code gives it."""
    problems = read_problems(benchmarks.problems(name, shared / "bench"))
    golds = [p.answer for p in problems]
    assert len(problems) == get(name).rows
    assert [gold for gold in golds if usable_gold(gold)] == []
    more = "\n\nQ: And 7 more?\nA: The final answer is 123456789."
    with Grader() as grader:
        verdicts = judge(readings(name, problems, golds, more), grader)
        assert [(gold, v) for gold, v in zip(golds, verdicts, strict=True) if v.correct is not True] == []
        papers = judge_as_paper(readings(name, problems, golds), grader)
    if name in CEILINGS:
        assert 100 * sum(map(bool, papers)) / len(papers) == pytest.approx(CEILINGS[name], abs=0.5)


@pytest.mark.parametrize("name", FILES)
def test_another_problems_answer_scores_next_to_nothing(shared: Path, name: str) -> None:
    """The test above would pass with a judge that says yes to all."""
    problems = read_problems(benchmarks.problems(name, shared / "bench"))[:100]
    golds = [p.answer for p in problems]
    others = golds[1:] + golds[:1]
    pairs = [
        (p, o)
        for p, o in zip(problems, others, strict=True)
        if equal(p.answer, o) is False and not close(p.answer, o, 0.01)
    ]
    assert len(pairs) >= 0.4 * len(golds)
    with Grader() as grader:
        verdicts = judge(readings(name, [p for p, _ in pairs], [o for _, o in pairs]), grader)
    assert not any(v.correct for v in verdicts)


def test_gpqa_is_shuffled_the_same_for_everyone(tmp_path: Path) -> None:
    rows = [
        {"Record ID": f"r{i}", "Question": f"Which {i}?", "Correct Answer": "right", "High-level domain": "Physics"}
        | {f"Incorrect Answer {k}": f"wrong {k}" for k in (1, 2, 3)}
        for i in range(40)
    ]
    (tmp_path / "gpqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = read_problems(benchmarks.problems("gpqa", tmp_path))
    assert {p.answer for p in problems} == set("ABCD")
    for p in problems:
        assert f"({p.answer}) right" in p.question
    rows[3]["Record ID"] = "moved"
    assert read_problems(benchmarks.problems("gpqa", tmp_path)) == problems


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("The final answer is (B). I hope it is correct.", "B"),
        ("So (A) is wrong. The final answer is $\\text{(C)}$.", "C"),
        ("The final answer is b", "B"),
        ("Thus \\boxed{\\textbf{(D)}}", "D"),
        ("It cannot be (A); I choose (E).", "E"),
        ("The final answer is a number.", None),
        ("A cat sat there.", None),
        ("Which?\nAnswer choices: (A) True, True (B) False, False (C) True, False (D) False, True", None),
        ("", None),
    ],
)
def test_letters(response: str, letter: str | None) -> None:
    assert choice(Item(response, "B", "benchmark", anchor="final answer is")) == letter


def test_a_letter_comes_from_the_box_alone_where_boxes_are_asked_for() -> None:
    assert choice(Item("The final answer is (B).", "B")) is None
    assert choice(Item("\\boxed{B}", "B")) == "B"
    assert choice(Item("I choose (B) since", "B", "benchmark", truncated=True, anchor="final answer is")) is None


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("4.5e33", "4.52 \\times 10^{33}", True),
        ("-10", "-10.05", True),
        ("-10", "10", False),
        ("-1./3", "-0.333", True),
        ("0", "0.001", False),
        ("1.6", "1.6 \\mathrm{~cm}", True),
        ("1.6", "1.6 + 3", False),
        ("3", "3e999999999", False),
        ("3", "9" * 100_000, False),
    ],
)
def test_tolerance(gold: str, answer: str, right: bool) -> None:
    assert close(gold, answer, 0.01) is right


@pytest.mark.parametrize(
    ("rule", "response", "gold", "right"),
    [
        ("number", "so 5 apples. The answer is 1,600.", "1600", False),
        ("number", "The answer is 18.\n\nQ: 3?", "18", True),
        ("number", "The answer is 20-5", "5", False),
        ("math", "the final answer is $50$. I hope it is correct.", "0.5", True),
        ("math", "the final answer is $[1,2)$. I hope it is correct.", "(1,2)", True),
        ("math", "the final answer is $7$. I hope it is correct.", "0.5", False),
        ("letter", "The final answer is (E). I hope", "E", False),
        ("letter", "The final answer is (c). I hope", "C", True),
        ("courses", "The final answer is -10. I hope it is correct.", "-10", False),
        ("courses", "The final answer is 4.51e33. I hope it is correct.", "4.5e33", True),
        ("olympiad", "Final Answer: The final answer is 2. I hope it is correct.", "2", False),
        ("olympiad", "Final Answer: The final answer is $2$. I hope it is correct.", "2", True),
        ("math", "\\boxed{__import__('os').mkdir('pwned')}", "1", False),
        ("courses", "final answer is __import__('os').mkdir('pwned'). I hope it is correct", "1", False),
    ],
)
def test_the_papers_faults_are_kept_and_its_dangers_are_not(
    rule: PaperRule, response: str, gold: str, right: bool
) -> None:
    assert correct(rule, response, gold, "", lambda g, a: g == a) is right
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("svamp", ("chal-777", "145", "Common-Division")),
        ("asdiv", ("0", "9", "Addition")),
        ("mawps", ("0", "43", "singleeq")),
        ("amc23", ("0", "27", "")),
        ("mathqa", ("0", "A", "general")),
        ("sat", ("0", "A", "")),
        ("tabmwp", ("16", "84", "5")),
        ("olympiad_bench", ("0-1606", "2", "Combinatorics")),
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
    prompt = get("gsm8k").prompt.render("How many {question} are \\boxed{1}?")
    assert prompt.endswith("\n\nQ: How many {question} are \\boxed{1}?\nA:")
    assert prompt.count("\nA:") == 9
    assert prompt.count("The answer is 19.\n\nQ:") == 1
    assert get("math500").prompt.render("$x$?").endswith("I hope it is correct.\n\nProblem:\n$x$?\n\nSolution:")
    assert get("sat").prompt.render("$x$?").count("The final answer is (") == 4
    assert get("amc23").prompt.render("x?") == "Q: x?\nA:"  # zero-shot, and no trailing space


@pytest.mark.parametrize("shot", [*WORD_PROBLEMS, *MINERVA], ids=lambda shot: shot[0][:20])
def test_exemplars_answer_what_they_work_out(shot: tuple[str, str, str]) -> None:
    _, working, answer = shot
    last = re.findall(r"\$[^$]+\$|[0-9.]*[0-9]", working)[-1].strip("$").rpartition("= ")[2]
    assert equal(answer, last) or answer == "(-2,5)"


def test_exemplars_are_in_no_test_set(shared: Path) -> None:
    """No eight words in a row in common with any question."""
    ours = {
        words for question, _, _ in (*WORD_PROBLEMS, *MINERVA, *STEM_CHOICE, *COURSES) for words in ngrams(question)
    }
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
