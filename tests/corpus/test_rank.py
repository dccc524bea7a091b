"""Candidate sources ranked by what they add to a control: on made-up answers whose order is known, and as a graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from octothinker import graph
from octothinker.config import Eval, Problems, Source
from octothinker.corpus_rank import CONTROL, experiment, ranking
from octothinker.typed import ConfigError

GENERATOR = "octothinker.recipes.nano_problems"
RIGHT = {CONTROL: 40, "good": 80, "useless": 41, "bad": 10}
"""Problems of 100 that a model got right."""


def made(model: str, **more: Any) -> Any:
    prose = Source(generator=f"{GENERATOR}:worked_text", args={"documents": 20, "seed": 1})
    candidates = {name: prose for name in RIGHT if name != CONTROL}
    problems = {"test": Problems(generator=f"{GENERATOR}:problems", args={"split": "test", "per_level": 2, "seed": 6})}
    return experiment(model, prose, candidates, problems, Eval(problems=("test",), samples=0), tokens=100_000, **more)


def test_every_anneal_starts_from_the_same_model_and_differs_in_its_mixture_only(tmp_path: Path) -> None:
    from octothinker.model.tokenizer import train_tokenizer

    train_tokenizer(["some text"], 300).save(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    whole = made(str(tmp_path), share=0.25, seeds=(0, 1))
    stages = [s for s in graph.expand(whole) if s.kind == "midtrain"]
    assert len(stages) == 4 * 2 and {s.inputs["parent"].key for s in stages} == {stages[0].inputs["parent"].key}
    mixtures = {s.config.stage.name: s.config.stage.mixture for s in stages}
    assert mixtures[CONTROL] == {CONTROL: 1.0} and mixtures["good"] == {CONTROL: 0.75, "good": 0.25}
    assert {(s.config.stage.tokens, s.config.lr, s.config.stage.schedule.kind) for s in stages} == {
        (100_000, 2e-5, "linear")
    }
    with pytest.raises(ConfigError, match=r"share=1\.5"):
        made(str(tmp_path), share=1.5)


def write_run(folder: Path, finished: list[str]) -> None:
    rows = []
    for name in RIGHT:
        for kind in ("midtrain", "eval"):
            place = folder / "stages" / f"{kind}.{name}"
            rows.append(
                {"name": f"{kind}.{name}", "kind": kind, "folder": f"stages/{kind}.{name}", "init": name, "seed": 0}
            )
            if name not in finished:
                continue
            place.mkdir(parents=True)
            (place / "manifest.json").write_text(json.dumps({"result": {"loss": 1.5}}))
            answers = [
                {"set": "test", "mode": "greedy", "id": str(i), "level": "1", "correct": i < RIGHT[name], "boxed": True,
                 "finish": "stop", "tokens": 9} for i in range(100)
            ]  # fmt: skip
            (place / "samples.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers))
    (folder / "plan.json").write_text(json.dumps(rows))
    (folder / "experiment.json").write_text(json.dumps({"midtrain": [{"name": n} for n in RIGHT], "seeds": [0]}))


def test_the_best_gain_comes_first_and_the_interval_says_how_sure(tmp_path: Path) -> None:
    write_run(tmp_path, list(RIGHT))
    ranked = {row.source: row for row in ranking(tmp_path)}
    assert list(ranked) == ["good", "useless", "bad", CONTROL]
    good, useless, bad = (ranked[name].gain for name in ("good", "useless", "bad"))
    assert good and good.value == pytest.approx(0.4) and good.low > 0.25
    assert useless and useless.low < 0 < useless.high
    assert bad and bad.high < -0.15
    assert ranked[CONTROL].gain is None and ranked[CONTROL].accuracy.value == pytest.approx(0.4)


def test_half_a_run_ranks_what_is_there(tmp_path: Path) -> None:
    write_run(tmp_path, [CONTROL, "bad"])
    assert [row.source for row in ranking(tmp_path)] == ["bad", CONTROL]
    (tmp_path / "none").mkdir()
    write_run(tmp_path / "none", ["good"])
    with pytest.raises(ConfigError, match="the control is not evaluated yet"):
        ranking(tmp_path / "none")
