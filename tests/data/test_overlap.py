"""Contamination: a problem in a text is found with its words, and the known truth of MATH8K is found again."""

from __future__ import annotations

import json
from pathlib import Path

from octothinker.data.overlap import Index, find, squash
from octothinker.data.problems import read_problems
from octothinker.evals import benchmarks

QUESTION = (
    "A ferry carries 38 cars on its morning trip, and 17 fewer on its evening trip. How many cars does it carry in all?"
)
SETS = {"toy": [("a", QUESTION), ("b", "What is $2+3$?"), ("c", "What is $2 \\cdot 3$?")]}


def hits(text: str, n: int = 13) -> list[tuple[str, bool]]:
    return sorted((match.problem, match.exact) for match in find(Index(SETS, n), [("here", text)]))


def test_whole_questions_are_found_however_they_are_set() -> None:
    assert hits(f"Web page. {QUESTION.upper()} Answer: 59") == [("a", True)]
    assert hits("what is $2 + 3$") == [("b", True)], "a short one only where it is the whole text"
    assert hits("So what is $2 + 3$ then?") == []
    assert hits("What is 2 and 3?") == [], "the operator makes the question"


def test_runs_of_words_are_found_with_their_text() -> None:
    part = "the evening trip: " + QUESTION[QUESTION.index("carries") : QUESTION.index(" fewer")]
    assert hits(part) == []
    assert hits(part, 8) == [("a", False)]
    (match,) = find(Index(SETS, 8), [("page 3", part)])
    assert (match.set, match.where, match.text) == ("toy", "page 3", "carries 38 cars on its morning trip and")


def test_boilerplate_is_no_evidence() -> None:
    tail = "can be written as m over n where m and n are relatively prime positive integers find m plus n"
    sets = {"toy": [(str(i), f"Problem {'x' * i} of its own {tail}") for i in range(1, 6)]}
    assert list(find(Index(sets), [("here", f"Something else {tail}")])) == []
    assert len(list(find(Index({"toy": sets["toy"][:1]}), [("here", f"Something else {tail}")]))) == 1


def test_the_known_truth_of_math8k(shared: Path) -> None:
    """2,936 of MATH's 5,000 are its prompts letter for letter, spaces apart; three more stand inside one. None of MATH500."""
    names = ("math", "math500", "mmlu_stem")
    sets = {n: [(p.id, p.question) for p in read_problems(benchmarks.problems(n, shared / "bench"))] for n in names}
    lines = (shared / "bench" / "math8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [(str(i), json.loads(line)["question"]) for i, line in enumerate(lines) if line.strip()]
    index = Index(sets)
    exact = {(m.set, m.problem) for m in find(index, prompts) if m.exact}
    whole = {(index.problems[i][0], index.problems[i][1]) for _, q in prompts for i in index.whole.get(squash(q), ())}
    assert sum(name == "math" for name, _ in whole) == 2936
    assert 2936 <= sum(name == "math" for name, _ in exact) <= 2940
    assert sum(name == "math500" for name, _ in exact) == 0
    assert 122 <= sum(name == "mmlu_stem" for name, _ in exact) <= 127
