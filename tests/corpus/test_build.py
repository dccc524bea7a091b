"""A small corpus, whole: the command, the plan, the report, kill and resume, and a model that trains on it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octothinker.bench import corpus_runs
from octothinker.corpus.config import Decontaminate, Engine, Filters
from octothinker.corpus.recipe import Corpus
from octothinker.corpus_graph import build_corpus, expand, find, shards_of
from octothinker.data.shards import Shards
from octothinker.runner import Watcher
from octothinker.typed import ConfigError
from tests.corpus.shards_here import read_all

pytest.importorskip("fasttext")
pytest.importorskip("rensa")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path]:
    folder = tmp_path_factory.mktemp("corpus")
    corpus = corpus_runs.recipe(folder / "in", 60)
    out = folder / "run"
    outcome = build_corpus(corpus, out, Watcher())
    assert outcome.code == 0, outcome.failed
    return corpus, out


def stage_folder(out: Path, name: str) -> Path:
    [folder] = out.glob(f"stages/{name}-*")
    return folder


@pytest.mark.slow
def test_every_step_did_its_work(built: tuple[Corpus, Path]) -> None:
    _, out = built
    plan = [row["name"] for row in json.loads((out / "plan.json").read_text())]
    assert plan == ["problems.trains", "read", "language", "filters", "dedup", "decontaminate", "shards.text"]
    documents = {name: len(read_all(stage_folder(out, name))) for name in plan[1:-1]}
    assert documents["read"] == 61 and documents["filters"] >= 58
    assert documents["read"] > documents["dedup"] > 40
    read = read_all(stage_folder(out, "read"))
    assert {row["metadata"]["source"] for row in read} == {"web", "plain"}
    assert any("$x_{" in row["text"] for row in read) and not any("<p>" in row["text"] for row in read)
    assert (
        1 <= documents["dedup"] - documents["decontaminate"] <= 4
    )  # two pages hold the question, and their near copies
    shards = Shards.open(shards_of(out)["text"])
    assert shards.documents == documents["decontaminate"]


@pytest.mark.slow
def test_the_command_says_what_is_done_and_what_made_a_step_stale(
    built: tuple[Corpus, Path], octo: Callable[..., Any]
) -> None:
    _, out = built
    again = octo("corpus", "build", str(out / "corpus.json"))
    assert again.code == 0 and "start" not in again.out and "Shards of text" in again.out
    plan = octo("corpus", "plan", str(out / "corpus.json"), "--set", "filters.min_words=7")
    assert re.search(r"read\s+cached", plan.out) and re.search(r"filters\s+stale", plan.out)
    assert "min_words: 30 -> 7" in plan.out
    same = octo(
        "corpus", "plan", str(out / "corpus.json"), "--set", "engine.workers=9", "--set", "filters.drop_limit=0.1"
    )
    assert same.out.count("cached") == 7  # neither is part of what the corpus is
    status = octo("status", str(out))
    assert status.code == 0 and status.out.count("done") >= 7


@pytest.mark.slow
def test_the_report_opens_offline_and_escapes_what_pages_wrote(built: tuple[Corpus, Path]) -> None:
    from octothinker.report.corpus import page

    _, out = built
    ledger = stage_folder(out, "dedup") / "ledger.json"
    content = json.loads(ledger.read_text())
    content["samples"][""][0]["text"] = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    kept = ledger.read_text()
    ledger.write_text(json.dumps(content))
    html = page(out)
    ledger.write_text(kept)
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", html) and "default-src 'none'" in html
    for text in ("61 documents came in", "near_copy", "tokens by source", "formulas", "2015"):
        assert text in html
    (out / "stages" / "half").mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match="no run folder of a corpus"):
        page(out / "stages")


@pytest.mark.slow
def test_a_model_trains_on_the_shards_in_a_mixture(built: tuple[Corpus, Path], tmp_path: Path) -> None:
    import torch

    from octothinker.config import Midtrain, ModelConfig, Schedule
    from octothinker.model.tokenizer import Tokenizer
    from octothinker.train.loop import MidtrainRun, midtrain_stage

    corpus, out = built
    assert corpus.tokenise is not None
    folder = Path(corpus.tokenise.tokenizer)
    shards = shards_of(out)["text"]
    model = ModelConfig(
        vocab_size=Tokenizer.load(folder).vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
    )
    stage = Midtrain(
        name="m",
        mixture={"text": 0.75, "again": 0.25},
        tokens=64 * 4 * 12,
        seq_len=64,
        batch_size=4,
        schedule=Schedule(kind="constant", lr=3e-3),
        precision="fp32",
    )
    torch.manual_seed(0)
    result = midtrain_stage(
        MidtrainRun(stage=stage, lr=3e-3, model=model),
        {"tokenizer": folder, "shards.text": shards, "shards.again": shards},
        tmp_path,
    )
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 12 and losses[-1] < losses[0] - 0.3
    assert result["shares"]["text"] == pytest.approx(0.75, abs=0.02)


@pytest.mark.slow
def test_killed_in_every_stage_and_resumed_it_is_the_same_byte_for_byte(
    built: tuple[Corpus, Path], tmp_path: Path
) -> None:
    corpus, alone = built
    kills, stages = corpus_runs.killed(corpus, tmp_path / "run", moments=(1,))
    assert corpus_runs.differences(alone, tmp_path / "run") == []
    assert stages == 7 and kills >= 4  # the smallest stages may be over before a kill lands
    [shard, *_] = (tmp_path / "run/stages").glob("dedup-*/00000.jsonl.zst")
    shard.write_bytes(b"")
    assert corpus_runs.differences(alone, tmp_path / "run") == [str(shard.relative_to(tmp_path / "run"))]


@pytest.mark.slow
def test_a_step_that_fails_says_so_and_the_rest_waits(built: tuple[Corpus, Path], tmp_path: Path) -> None:
    corpus, out = built
    shutil.copytree(out, tmp_path / "run")
    strict = dataclasses.replace(corpus, filters=Filters(min_words=10_000), engine=Engine(workers=1))
    outcome = build_corpus(strict, tmp_path / "run", Watcher(), only=["filters"])
    assert outcome.code == 1
    assert "100.0% of 61 documents were dropped (drop_limit=0.9): too_short 61" in outcome.failed["filters"]


# ---- recipes and graphs (nothing runs) -------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> dict[str, str]:
    corpus = corpus_runs.recipe(tmp_path / "in", 5)
    assert corpus.tokenise is not None
    return {"pages": corpus.pages["web"].path, "tokenizer": corpus.tokenise.tokenizer}


def test_the_shipped_recipe_has_every_step(model: dict[str, str]) -> None:
    whole = find("megamath-web", {**model, "model": "m", "qa": True, "shards": 3})
    whole = dataclasses.replace(whole, decontaminate=questions(model))
    stages = expand(whole)
    names = [stage.name for stage in stages]
    steps = "read language filters annotate classifier classify dedup decontaminate"
    ends = "refine synthesise decontaminate.text shards.text decontaminate.qa shards.qa"
    assert " ".join(names[1:]) == f"{steps} {ends}"
    parents = {stage.name: sorted(p.name for p in stage.parents) for stage in stages}
    assert parents["classify"] == ["classifier", "filters"]
    assert parents["synthesise"] == parents["refine"] == ["decontaminate"]
    assert parents["decontaminate.qa"] == ["problems.trains", "synthesise"]
    assert len({stage.key for stage in stages}) == len(stages)
    short = find("megamath-web", model)
    assert [s.name for s in expand(short)] == ["read", "language", "filters", "dedup", "shards.text"]


def questions(model: dict[str, str]) -> Decontaminate:
    return Decontaminate(data=str(Path(model["pages"]).parent), benchmarks=("trains",))


def test_keys_follow_content_not_place(model: dict[str, str], tmp_path: Path) -> None:
    keys = [stage.key for stage in expand(find("megamath-web", model))]
    moved = tmp_path / "moved.jsonl"
    shutil.copy(model["pages"], tmp_path / "pages.jsonl")
    assert [s.key for s in expand(find("megamath-web", {**model, "pages": str(tmp_path / "pages.jsonl")}))] == keys
    text = (tmp_path / "pages.jsonl").read_text()
    moved.write_text(text.replace("Page 0", "Page X"))
    assert keys[0] not in [s.key for s in expand(find("megamath-web", {**model, "pages": str(moved)}))]


def test_bad_recipes_are_told_what_is_wrong(model: dict[str, str], octo: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"megamath-wbe.*did you mean 'megamath-web'"):
        find("megamath-wbe")
    with pytest.raises(ConfigError, match="missing a required argument: 'pages'"):
        find("megamath-web")
    with pytest.raises(ConfigError, match="a corpus is made of something"):
        Corpus(name="x")
    (tmp_path / "mine.py").write_text("def corpus():\n    return 3\n")
    with pytest.raises(ConfigError, match="returned int, not an? Corpus"):
        find(str(tmp_path / "mine.py"))
    ended = octo("corpus", "build", "megamath-web", "--arg", "pages")
    assert ended.code == 2 and "write NAME=VALUE" in ended.err
    with pytest.raises(ConfigError, match="no benchmark found"):
        expand(dataclasses.replace(find("megamath-web", model), decontaminate=dataclasses.replace(
            questions(model), benchmarks=(), data=str(tmp_path))))  # fmt: skip
