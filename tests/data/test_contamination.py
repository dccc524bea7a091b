"""The stage that looks for a run's test problems in what the run is trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from octothinker.data import contamination
from octothinker.data.contamination import PROMPTS, ContaminationRun, contamination_stage
from octothinker.data.shards import write_shards
from octothinker.graph import expand
from octothinker.model.tokenizer import train_tokenizer
from octothinker.recipes.nano import nano
from octothinker.records import read_jsonl

FERRY = "A ferry carries 38 cars in the morning and 17 fewer in the evening. How many cars does it carry in all?"
PART = "and 17 fewer in the evening. How many cars does it carry"
OTHER = "Find the largest prime divisor of the number of ways in which nine knights can sit at a round table."
PROSE = [f"Document {i} tells of ferries, knights and tables, and asks nothing of anybody." for i in range(40)]


def problems(folder: Path, questions: list[str]) -> Path:
    folder.mkdir()
    rows = [{"id": f"p{i}", "question": q, "answer": "1", "level": ""} for i, q in enumerate(questions)]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def found(tmp_path: Path, texts: list[str], prompts: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    tokenizer = train_tokenizer(PROSE + [FERRY, OTHER], 400)
    tokenizer.save(tmp_path / "tokenizer")
    write_shards(texts, tokenizer, tmp_path / "shards")
    inputs = {"tokenizer": tmp_path / "tokenizer", "shards.web": tmp_path / "shards"}
    inputs |= {"tests.toy": problems(tmp_path / "toy", [FERRY, OTHER]), "prompts": problems(tmp_path / "rl", prompts)}
    (tmp_path / "out").mkdir()
    result = contamination_stage(ContaminationRun(), inputs, tmp_path / "out")
    return result["texts"], read_jsonl(tmp_path / "out" / contamination.FILE)


def test_planted_questions_are_found_with_evidence(tmp_path: Path) -> None:
    texts = [*PROSE, f"{PROSE[0]} {FERRY.upper()} {PROSE[1]}", f"{PROSE[2]} {PART}", f"{FERRY} It carries 59."]
    looked, evidence = found(tmp_path, texts, [OTHER, "Something else."])
    assert looked["web"]["documents"] == looked["web"]["of"] == 43
    assert looked["web"]["sets"] == {"toy": {"problems": 2, "whole": 1, "13": 1, "8": 1}}
    assert looked[PROMPTS]["sets"] == {"toy": {"problems": 2, "whole": 1, "13": 1, "8": 1}}
    where = {(row["in"], row["where"], row["problem"]) for row in evidence}
    assert where == {(PROMPTS, "p0", "p1"), ("web", "document 40", "p0")}
    assert all("ferrycarries38cars" in row["text"] for row in evidence if row["in"] == "web")


def test_a_part_is_no_whole_question(tmp_path: Path) -> None:
    looked, _ = found(tmp_path, [*PROSE, f"{PROSE[2]} {PART}"], ["Something else."])
    assert looked["web"]["sets"]["toy"] == {"problems": 2, "whole": 0, "13": 0, "8": 1}


def test_clean_texts_have_nothing(tmp_path: Path) -> None:
    looked, evidence = found(tmp_path, PROSE, ["Something else."])
    assert all(not any(v for k, v in s["sets"]["toy"].items() if k != "problems") for s in looked.values())
    assert evidence == []


def test_of_a_large_source_documents_are_evenly_spread(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(contamination, "DOCUMENTS", 10)
    looked, _ = found(tmp_path, PROSE, ["Something else."])
    assert looked["web"]["documents"] == 10 and looked["web"]["of"] == 40


def test_every_run_that_evaluates_has_the_stage() -> None:
    (stage,) = [s for s in expand(nano()) if s.kind == "contamination"]
    assert {"tests.test", "prompts", "tokenizer"} <= set(stage.inputs)
    assert any(role.startswith("shards.") for role in stage.inputs)
    bare = dataclasses.replace(nano(), eval=dataclasses.replace(nano().eval, problems=()))
    assert not [s for s in expand(bare) if s.kind == "contamination"]
