"""Questions in texts: whole, changed, scattered, short; with the words as evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from octothinker.corpus.config import Decontaminate
from octothinker.corpus.decontaminate import Coverage, decontaminate_stage
from octothinker.typed import ConfigError
from tests.corpus.shards_here import read_all, write_documents

FERRY = (
    "A ferry carries 38 cars on its morning trip, and 17 fewer on its evening trip. How many cars does it carry in all?"
)
HALF = "What is one half of $\\frac{a}{b}$ when $a = 12$ and $b = 7$, as a fraction in lowest terms?"
SETS = {"toy": [("ferry", FERRY), ("short", "What is 2 + 3?")], "other": [("half", HALF), ("again", FERRY)]}
FILLER = "Nothing of this has to do with any of the questions that we ask of a model, as far as one can see. " * 5


def found(text: str, **config: float) -> list[str]:
    return [hit.problem for hit in Coverage(SETS, Decontaminate(**config)).find(text)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FILLER, []),
        (f"{FILLER} {FERRY} {FILLER}", ["ferry"]),
        (FERRY.replace("evening", "last").upper(), ["ferry"]),  # one word changed breaks a run of 13
        (HALF.replace("\\frac{a}{b}", "\\dfrac{a}{b}\\,"), ["half"]),
        (FERRY[:40], []),
        ("What is 2 + 3? It is 5.", []),
        (f"{FERRY[:45]} {FILLER * 3} {FERRY[-45:]}", []),  # the halves are far apart, neither is enough
        (f"{HALF}\n{FERRY}", ["ferry", "half"]),
        ("", []),
    ],
)
def test_what_counts_as_a_question(text: str, expected: list[str]) -> None:
    assert sorted(found(text)) == expected


def test_the_same_question_twice_is_one_and_short_ones_are_counted() -> None:
    index = Coverage(SETS, Decontaminate())
    assert index.problems == [("toy", "ferry"), ("toy", "short"), ("other", "half")]
    assert index.too_short == 1


@pytest.mark.parametrize(
    ("question", "text", "seen"),
    [
        ("Find the area of 7", "Now find the area of 7 and rest", True),  # too few n-grams: whole, or not at all
        ("Find the area of 7", "Now find the area of 9 and rest", False),
        ("Find the area of it", "Now find the area of it and rest", False),  # no number: a phrase
        ("Now what of these is an example of cline", "of these is an example of a table", False),
        ("Now what of these is an example of cline", "now what of these is an example of a table", True),
    ],
)
def test_short_questions(question: str, text: str, seen: bool) -> None:
    assert bool(Coverage({"s": [("q", question)]}, Decontaminate()).find(f"{FILLER} {text} {FILLER}")) is seen


def test_a_phrase_of_many_questions_is_no_evidence() -> None:
    head = "How many ways are there to choose from a set of"
    sets = {"s": [(str(i), f"{head} {i} things of colour number {i}?") for i in range(30)]}
    text = f"{head} which we speak elsewhere"
    assert Coverage(sets, Decontaminate(common=20, coverage=0.3)).find(text) == []
    assert Coverage(sets, Decontaminate(common=40, coverage=0.3)).find(text) != []


def test_the_stage_drops_with_evidence(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": f"{FILLER} {i}", "metadata": {}} for i in range(9)]
    rows.append({"id": "bad", "text": f"{FILLER} {FERRY}", "metadata": {}})
    write_documents(tmp_path / "in", rows)
    inputs = {"documents": tmp_path / "in"}
    for name, questions in SETS.items():
        (tmp_path / name).mkdir()
        lines = [json.dumps({"id": id, "question": question}) + "\n" for id, question in questions]
        (tmp_path / name / "problems.jsonl").write_text("".join(lines))
        inputs[f"problems.{name}"] = tmp_path / name
    (tmp_path / "out").mkdir()
    result = decontaminate_stage(Decontaminate(), inputs, tmp_path / "out")
    assert result["dropped"] == {"contaminated": 1} and result["hits"] == {"toy": 1}
    assert result["questions"] == 3 and result["too_short"] == 1
    assert [row["id"] for row in read_all(tmp_path / "out")] == [f"d{i}" for i in range(9)]
    [hit] = [json.loads(line) for line in (tmp_path / "out/evidence.jsonl").read_text().splitlines()]
    assert hit["id"] == "bad" and hit["coverage"] == 1.0
    assert hit["text"].startswith("a ferry carries 38 cars") and hit["text"].endswith("carry in all")
    with pytest.raises(ConfigError, match="no benchmarks"):
        decontaminate_stage(Decontaminate(), {"documents": tmp_path / "in"}, tmp_path / "none")
