"""Problems out of documents: what is kept is what several solutions, or a known answer, agree on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datatrove")

from octothinker.corpus.ledger import Ledger
from octothinker.corpus.llm import LLM, Answer
from octothinker.corpus.synthesise import Synthesise, agreed, parse_questions, synthesise_stage
from octothinker.grade.pool import Grader
from octothinker.records import read_json
from octothinker.typed import ConfigError
from tests.corpus.chat_server import serving
from tests.corpus.shards_here import read_all, write_documents


def test_questions_are_read_from_lines() -> None:
    text = "Sure!\nQuestion: What is 1 + 1?\n  Question: What is\n2 + 2 here?\n\nThere.\nQuestion: What is 1 + 1?\n"
    text += "Question: short\n\nNo Question: x"
    assert parse_questions(text, 9) == ["What is 1 + 1?", "What is\n2 + 2 here?"]
    assert parse_questions(text, 1) == ["What is 1 + 1?"]
    assert parse_questions("nothing", 3) == []


def test_agreement_is_by_value() -> None:
    with Grader() as grader:
        assert agreed(["7", "1/2", "0.5", r"\frac{1}{2}"], grader) == ("1/2", [1, 2, 3])
        assert agreed(["", "}{"], grader) is None


def solver(prompt: str, body: dict[str, Any]) -> object:
    if "Make 2 mathematics problems" in prompt:
        return (
            "nothing comes to mind"
            if "dull page" in prompt
            else "Question: What is six times seven?\nQuestion: What is a hard thing?"
        )
    sample = body["seed"]
    if "six times seven" in prompt:
        return [
            "",
            "So \\boxed{42}",
            "Step by step we find \\boxed{42}.",
            "It is \\boxed{41}",
            "\\boxed{42.0} it is",
            "no box",
        ][sample]
    if "Known" in prompt:
        return "\\boxed{9}" if sample < 5 else "\\boxed{8}"
    return f"\\boxed{{{sample}}}"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], Path]]:
    rows = [
        {"id": "a", "text": "A page on products.", "metadata": {}},
        {"id": "b", "text": "A dull page.", "metadata": {}},
        {"id": "c", "text": "x", "metadata": {"question": "Known one: what is 3 squared?", "answer": "9"}},
        {"id": "d", "text": "x", "metadata": {"question": "Known two: what is 2 squared?", "answer": "4"}},
    ]
    write_documents(tmp_path / "in", rows)
    with serving(solver) as chat:
        config = Synthesise(llm=LLM(model="m", url=chat.url, cache=str(tmp_path / "cache")))
        result = synthesise_stage(config, {"documents": tmp_path / "in"}, tmp_path / "out")
        asked = len(chat.seen)
        again = synthesise_stage(config, {"documents": tmp_path / "in"}, tmp_path / "again")
        assert len(chat.seen) == asked == 2 + 2 * 5 + 2 * 5
        assert again["problems"] == result["problems"]
        assert read_json(tmp_path / "again/estimate.json")["requests"] == 0  # what follows from known answers is known
        yield result, read_all(tmp_path / "out"), tmp_path / "out"


def test_only_what_is_verified_is_kept(made: tuple[dict[str, Any], list[dict[str, Any]], Path]) -> None:
    result, rows, out = made
    assert result["problems"] == {"disagree": 1, "verified": 2, "wrong": 1}
    assert [row["text"] for row in rows] == [
        "Question: What is six times seven?\nAnswer: So \\boxed{42}",  # the shortest of three that agree
        "Question: Known one: what is 3 squared?\nAnswer: \\boxed{9}",
    ]
    first, second = (row["metadata"] for row in rows)
    assert (first["made_of"], first["verified_by"], first["agreement"], first["answer"]) == (
        "a",
        "agreement",
        0.6,
        "42",
    )
    assert (second["made_of"], second["verified_by"], second["agreement"]) == ("c", "grader", 0.8)
    ledger = Ledger.load(out / "ledger.json")
    assert {reason: n["documents"] for reason, n in ledger.dropped.items()} == {
        "made_into_others": 2, "no_question": 1, "not_verified": 1
    }  # fmt: skip
    assert ledger.written["documents"] == 2


def test_the_estimate_counts_what_is_not_known_yet(tmp_path: Path) -> None:
    write_documents(tmp_path / "in", [{"id": "a", "text": "A page.", "metadata": {}}], shards=1)
    llm = LLM(model="m", url="http://127.0.0.1:9/v1", cache=str(tmp_path / "cache"), max_requests=10)
    with pytest.raises(ConfigError, match="max_requests=10, and it would be 11"):  # 1 + 2 questions of 5 samples
        synthesise_stage(Synthesise(llm=llm), {"documents": tmp_path / "in"}, tmp_path / "out")


def test_answers_that_failed_or_were_cut_agree_with_nobody() -> None:
    from octothinker.corpus.synthesise import Problem, right_ones

    answers = [
        Answer("\\boxed{1}"),
        Answer("", failed="timeout"),
        Answer("\\boxed{1}", finish="length"),
        Answer("\\boxed{1}"),
    ]
    with Grader() as grader:
        assert right_ones(Problem(None, 0, "q"), answers, 0.5, grader) == [0, 3]  # type: ignore[arg-type]
        assert right_ones(Problem(None, 0, "q"), answers, 0.6, grader) == "disagree"  # type: ignore[arg-type]
        assert right_ones(Problem(None, 0, "q"), answers[1:3], 0.1, grader) == "no_answer"  # type: ignore[arg-type]
