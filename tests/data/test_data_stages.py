"""The stages that make data: what they write, and what their identity is made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from octothinker.config import (
    Eval,
    Experiment,
    Midtrain,
    ModelConfig,
    Problems,
    Schedule,
    Source,
    StartModel,
    TokenizerConfig,
)
from octothinker.data.mixture import Mixture
from octothinker.data.shards import Shards
from octothinker.data.stages import ProblemsRun, ShardsRun, TokenizerRun, problems_stage, shards_stage, tokenizer_stage
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import read_jsonl
from octothinker.typed import ConfigError, from_json, identity, to_json


def experiment(sources: dict[str, Source], problems: dict[str, Problems] | None = None, **tokenizer: Any) -> Experiment:
    model = ModelConfig(
        vocab_size=1, hidden_size=8, intermediate_size=8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8
    )
    name = next(iter(sources))
    return Experiment(
        name="test",
        model=StartModel(config=model),
        tokenizer=TokenizerConfig(**{"vocab_size": 300, "sources": tuple(sources)} | tokenizer),
        sources=sources,
        problems=problems or {},
        midtrain=(
            Midtrain(
                name="base",
                mixture={name: 1.0},
                tokens=8,
                seq_len=8,
                batch_size=1,
                schedule=Schedule(kind="constant", lr=1),
            ),
        ),
        eval=Eval(problems=()),
    )


def through_json(config: Any) -> Any:
    """As octothinker.stage hands a config to the process that runs it."""
    return from_json(type(config), json.loads(json.dumps(to_json(config))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"q": f"What is {i}+{i}?", "a": 2 * i, "level": i % 2} for i in range(50)]
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "words.py").write_text(
        "def words(n, start=0):\n    for i in range(n):\n        yield {'text': f'word {i}'}\n"
    )
    return tmp_path


def test_from_files_to_batches(folder: Path) -> None:
    qa = Source(path=str(folder / "qa.jsonl"), template="Question: {q}\nAnswer: {a}", max_documents=40)
    words = Source(generator=f"{folder}/words.py:words", args={"n": 30})
    whole = experiment({"qa": qa, "words": words}, {"qa": Problems(path=str(folder), question="q", answer="a")})
    for name in ("tokenizer", "qa", "words", "problems"):
        (folder / "out" / name).mkdir(parents=True)

    result = tokenizer_stage(through_json(TokenizerRun.of(whole)), {}, folder / "out" / "tokenizer")
    tokenizer = Tokenizer.load(folder / "out" / "tokenizer")
    assert result == {"vocab_size": tokenizer.vocab_size, "hash": tokenizer.hash}

    inputs = {"tokenizer": folder / "out" / "tokenizer"}
    results = {
        n: shards_stage(through_json(ShardsRun.of(whole, n)), inputs, folder / "out" / n) for n in ("qa", "words")
    }
    assert [results[name]["documents"] for name in ("qa", "words")] == [40, 30]
    shards = {name: Shards.open(folder / "out" / name) for name in results}
    assert shards["qa"].tokenizer == tokenizer.hash
    assert tokenizer.decode(shards["qa"].document(39).tolist()) == "Question: What is 39+39?\nAnswer: 78"
    assert shards["qa"].document(39)[-1] == tokenizer.eos_id
    assert {k: results["qa"][k] for k in ("tokens", "sha256")} == {
        "tokens": shards["qa"].tokens,
        "sha256": shards["qa"].sha256,
    }

    batch = Mixture(shards, {"qa": 0.5, "words": 0.5}, 64, 2, 0).batch(0)
    text = [tokenizer.decode(row.tolist()) for row in batch.inputs]
    assert "Question: What is" in text[0]
    assert "word" in text[1]

    result = problems_stage(through_json(ProblemsRun.of(whole, "qa")), {}, folder / "out" / "problems")
    assert result == {"n": 50, "by_level": {"0": 25, "1": 25}, "skipped": 0, "bad_golds": []}
    rows = read_jsonl(folder / "out" / "problems" / "problems.jsonl")
    assert rows[3] == {"id": "qa-4", "question": "What is 3+3?", "answer": "6", "level": "1"}


def test_the_tokenizer_sees_the_first_documents_of_each_source(folder: Path) -> None:
    (folder / "z.jsonl").write_text('{"text": "zzzzzzzz zzzzzzzz"}\n' + '{"text": "qqqqqqqq qqqqqqqq"}\n' * 50)
    whole = experiment({"z": Source(path=str(folder / "z.jsonl"))}, vocab_size=270, max_documents=1)
    tokenizer_stage(through_json(TokenizerRun.of(whole)), {}, folder)
    tokenizer = Tokenizer.load(folder)
    assert len(tokenizer.encode("zzzzzzzz")) == 1
    assert len(tokenizer.encode("qqqqqqqq")) == 8


def test_skipped_problems_are_counted(folder: Path) -> None:
    (folder / "p.jsonl").write_text('{"question": "a", "answer": ""}\n{"question": "b", "answer": "2"}\n')
    problems = Problems(path=str(folder / "p.jsonl"), skip_empty_answers=True)
    whole = experiment({"qa": Source(path=str(folder / "qa.jsonl"))}, {"p": problems})
    assert problems_stage(ProblemsRun.of(whole, "p"), {}, folder) == {
        "n": 1,
        "by_level": {"": 1},
        "skipped": 1,
        "bad_golds": [],
    }


def test_a_source_decides_the_identity_by_what_it_is_and_not_by_where_it_lies(folder: Path) -> None:
    """Every field of a Source changes the key, but for the place, and what is only said about it."""
    (folder / "moved").mkdir()
    (folder / "moved" / "qa.jsonl").write_bytes((folder / "qa.jsonl").read_bytes())
    (folder / "moved" / "words.py").write_bytes((folder / "words.py").read_bytes())

    def key(source: Source) -> Any:
        run = ShardsRun.of(experiment({"s": source}), "s")
        assert str(folder) not in json.dumps(identity(run))
        assert identity(through_json(run)) == identity(run)
        assert identity(TokenizerRun.of(experiment({"s": source})))["content"] == [identity(run)["content"]]
        return json.dumps(identity(run))

    files = Source(path=str(folder / "qa.jsonl"), template="{q}")
    words = Source(generator=f"{folder}/words.py:words", args={"n": 3})
    (folder / "chat.jsonl").write_text('{"q": "x", "a": [{"role": "user", "content": "b"}]}\n')
    chat = Source(path=str(folder / "chat.jsonl"), template="{q}")
    same = {
        "path": (files, str(folder / "moved" / "qa.jsonl")),
        "generator": (words, f"{folder}/moved/words.py:words"),
        "licence": (files, "MIT"),
        "note": (files, "read me"),
    }
    other = {
        "args": (words, {"n": 3, "start": 1}),
        "template": (files, "{q} "),
        "messages": (chat, "a"),
        "max_documents": (files, 7),
    }
    assert {*same, *other} == {field.name for field in dataclasses.fields(Source)}
    for name, (source, value) in same.items():
        assert key(dataclasses.replace(source, **{name: value})) == key(source), name
    for name, (source, value) in other.items():
        assert key(dataclasses.replace(source, **{name: value})) != key(source), name
    before = key(files)
    (folder / "qa.jsonl").write_text('{"q": "other content"}\n')
    assert key(files) != before


def test_a_problem_set_likewise(folder: Path) -> None:
    source = {"s": Source(path=str(folder / "qa.jsonl"), template="{q}")}
    problems = Problems(path=str(folder / "qa.jsonl"), question="q", answer="a")

    def key(**changes: Any) -> Any:
        return identity(ProblemsRun.of(experiment(source, {"p": dataclasses.replace(problems, **changes)}), "p"))

    changes = {"question": "a", "answer": "q", "level": "q", "skip_empty_answers": True}
    assert {*changes, "path", "generator", "args"} == {field.name for field in dataclasses.fields(Problems)}
    for name, value in changes.items():
        assert key(**{name: value}) != key(), name
    assert "path" not in key()["content"]


def test_what_is_wrong_is_said_before_anything_runs(folder: Path) -> None:
    def source(**fields: Any) -> None:
        ShardsRun.of(experiment({"web": Source(**fields)}), "web")

    with pytest.raises(ConfigError, match=r"sources\.web: no file matches 'nowhere/"):
        source(path="nowhere/*.jsonl")
    with pytest.raises(ConfigError, match=r"sources\.web: .*line 1: no field 'text'; it has: q, a, level"):
        source(path=str(folder / "qa.jsonl"))
    with pytest.raises(ConfigError, match=r"sources\.web: template '\{a:d\}'"):
        source(generator=f"{folder}/words.py:words", args={"n": 1}, template="{a:d}")
    with pytest.raises(ConfigError, match=r"sources\.web: generator .* missing a required argument"):
        source(generator=f"{folder}/words.py:words")
    with pytest.raises(ConfigError, match=r"problems\.set: no file matches 'nowhere\.jsonl'"):
        ProblemsRun.of(experiment({"qa": Source(path="x")}, {"set": Problems(path="nowhere.jsonl")}), "set")
    with pytest.raises(ConfigError, match=r"problems\.set: .*line 1: no field 'question'"):
        ProblemsRun.of(experiment({"qa": Source(path="x")}, {"set": Problems(path=str(folder / "qa.jsonl"))}), "set")


def test_data_that_changed_after_the_plan_are_refused(folder: Path) -> None:
    """They would be kept under the key of the old ones, and taken for them ever after."""
    problems = Problems(path=str(folder / "qa.jsonl"), question="q", answer="a")
    whole = experiment({"qa": Source(path=str(folder / "qa.jsonl"), template="{q}")}, {"p": problems})
    runs = TokenizerRun.of(whole), ShardsRun.of(whole, "qa"), ProblemsRun.of(whole, "p")
    (folder / "qa.jsonl").write_text('{"q": "other", "a": 1}\n')
    for stage, run in zip((tokenizer_stage, shards_stage, problems_stage), runs, strict=True):
        with pytest.raises(ConfigError, match="changed after the run was planned"):
            stage(through_json(run), {"tokenizer": folder}, folder)  # type: ignore[operator]
