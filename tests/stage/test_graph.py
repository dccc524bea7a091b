"""From an experiment to its stages: names, what a branch takes over, what a change makes stale, and what a plan says."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from octothinker import graph, plan
from octothinker.config import (
    RL,
    Eval,
    Experiment,
    LengthSchedule,
    Midtrain,
    ModelConfig,
    Problems,
    Schedule,
    Source,
    StartModel,
    TokenizerConfig,
)
from octothinker.stage import Stage, execute
from octothinker.typed import ConfigError, from_json, override, to_json

SHAPE = ModelConfig(
    vocab_size=1, hidden_size=8, intermediate_size=16, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4
)


def branch(name: str, mixture: dict[str, float], **changes: Any) -> Midtrain:
    settings: dict[str, Any] = {
        "parent": "stable",
        "tokens": 640,
        "schedule": Schedule(kind="cosine"),
    } | changes
    return Midtrain(name=name, mixture=mixture, seq_len=16, batch_size=4, **settings)


EXPERIMENT = Experiment(
    name="tiny",
    seeds=(0, 1),
    model=StartModel(config=SHAPE),
    tokenizer=TokenizerConfig(vocab_size=300, sources=("web",)),
    sources={"web": Source(path="web.jsonl"), "short": Source(path="short.jsonl"), "long": Source(path="long.jsonl")},
    problems={"train": Problems(path="train.jsonl"), "held_out": Problems(path="held_out.jsonl")},
    midtrain=(
        branch("base", {"web": 1.0}, parent=None, schedule=Schedule(kind="constant", lr=1e-3)),
        branch("stable", {"web": 1.0}, parent="base", keep_every=2),
        branch("short", {"web": 0.5, "short": 0.5}),
        branch("long", {"web": 0.5, "long": 0.5}, fork_step=4),
    ),
    rl=RL(problems="train", eval_problems="held_out", steps=4, length=LengthSchedule(limits=((0, 8), (2, 16)))),
    rl_from=("base", "short", "long"),
    base="base",
    eval=Eval(problems=("held_out",), samples=3, max_tokens=16),
)


@pytest.fixture(autouse=True)
def fake_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real mid-training and RL configs; data and evaluation without files."""
    fakes = {"tokenizer": "DataRun", "shards": "DataRun", "problems": "DataRun", "eval": "EvalRun"}
    monkeypatch.setattr(graph, "FUNCTIONS", dict.fromkeys(graph.FUNCTIONS, "fakes:alone"))
    monkeypatch.setattr(graph, "CONFIGS", graph.CONFIGS | {kind: f"fakes:{name}" for kind, name in fakes.items()})


def by_name(experiment: Experiment = EXPERIMENT) -> dict[str, Stage]:
    return {stage.name: stage for stage in graph.expand(experiment)}


def with_branch(name: str, **changes: Any) -> Experiment:
    stages = [dataclasses.replace(m, **changes) if m.name == name else m for m in EXPERIMENT.midtrain]
    return dataclasses.replace(EXPERIMENT, midtrain=tuple(stages))


# ---- expansion --------------------------------------------------------------------------------------------------------


def test_names_and_inputs_are_those_of_the_contract() -> None:
    stages = by_name()
    seeded = ["midtrain.base", "midtrain.stable", "midtrain.short", "midtrain.long"]
    for init in ("base", "short", "long"):
        seeded += [f"eval.{init}", f"rl.{init}", f"eval.rl-{init}"]
    shared = ["tokenizer", "shards.web", "shards.short", "shards.long", "problems.held_out", "problems.train"]
    shared.append("contamination")
    assert list(stages) == shared + [f"{name}.s0" for name in seeded] + [f"{name}.s1" for name in seeded]
    assert set(stages["midtrain.short.s1"].inputs) == {"tokenizer", "parent", "shards.web", "shards.short"}
    assert stages["midtrain.short.s1"].inputs["parent"] is stages["midtrain.stable.s1"]
    assert set(stages["midtrain.base.s0"].inputs) == {"tokenizer", "shards.web"}
    assert set(stages["rl.long.s0"].inputs) == {"model", "problems", "eval_problems"}
    assert set(stages["eval.rl-long.s0"].inputs) == {"model", "problems.held_out"}
    assert stages["eval.rl-long.s0"].inputs["model"] is stages["rl.long.s0"]
    assert (stages["eval.rl-long.s0"].seed, stages["eval.rl-long.s0"].init) == (0, "long")
    looked = {"tokenizer", "shards.web", "shards.short", "shards.long", "tests.held_out", "prompts"}
    assert set(stages["contamination"].inputs) == looked
    seen: set[str] = set()
    for stage in stages.values():
        assert {p.name for p in stage.parents} <= seen, "each stage comes after what it needs"
        seen.add(stage.name)


def test_a_random_model_takes_its_vocabulary_from_the_tokenizer() -> None:
    stages = by_name()
    assert stages["midtrain.base.s0"].config.model == dataclasses.replace(SHAPE, vocab_size=300)
    assert stages["midtrain.stable.s0"].config.model is None


def test_an_existing_model_is_the_tokenizer_and_the_parent(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    start = dataclasses.replace(
        EXPERIMENT,
        model=StartModel(path=str(tmp_path)),
        tokenizer=None,
        midtrain=(branch("more", {"web": 1.0}, parent=None, schedule=Schedule(kind="constant", lr=1e-5)),),
        rl_from=("start", "more"),
        base="start",
    )
    stages = by_name(start)
    inputs = stages["midtrain.more.s0"].inputs
    assert inputs["tokenizer"] is inputs["parent"]
    assert "tokenizer" not in stages
    assert stages["rl.start.s0"].inputs["model"] is inputs["parent"]
    assert "eval.start.s0" in stages


# ---- what a branch takes over from its parent -------------------------------------------------------------------------


def test_a_branch_starts_with_the_rate_its_parent_had_there() -> None:
    stages = by_name()
    assert stages["midtrain.stable.s0"].config.lr == 1e-3  # the end of a constant schedule
    # stable: cosine from 1e-3 to a tenth over 10 steps; long forks after step 4, short after the end
    at_4 = 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * 0.4))
    assert stages["midtrain.long.s0"].config.lr == pytest.approx(at_4, rel=1e-12)
    assert stages["midtrain.long.s0"].config.fork_step == 4
    assert stages["midtrain.short.s0"].config.lr == pytest.approx(1e-4, rel=1e-12)
    assert stages["midtrain.short.s0"].config.fork_step is None


def test_a_fork_by_tokens_is_the_same_as_by_step() -> None:
    config = by_name(with_branch("long", fork_step=None, fork_tokens=256))["midtrain.long.s0"].config
    assert (config.fork_step, config.lr) == (4, by_name()["midtrain.long.s0"].config.lr)
    assert by_name(with_branch("long", fork_step=10))["midtrain.long.s0"].config.fork_step is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fork_step": 3}, r"midtrain\.long\.fork_step=3: stable keeps no checkpoint there; it keeps 2, 4, 6, 8, 10"),
        ({"fork_step": None, "fork_tokens": 100}, r"fork_tokens=100: .* it keeps 128, 256, 384, 512, 640"),
        ({"parent": None}, r"a fork point needs a `parent`"),
        ({"parent": None, "fork_step": None}, r"midtrain\.long\.schedule\.lr: needed"),
    ],
)
def test_a_fork_where_nothing_is_kept_says_what_is(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        by_name(with_branch("long", **changes))


# ---- what a change makes stale ----------------------------------------------------------------------------------------


def changed(experiment: Experiment) -> set[str]:
    before, after = by_name(), by_name(experiment)
    assert before.keys() == after.keys()
    return {name for name in before if before[name].key != after[name].key}


def test_a_branch_s_mixture_reruns_that_branch_and_nothing_else() -> None:
    assert changed(with_branch("long", mixture={"web": 0.4, "long": 0.6})) == {
        f"{name}.s{seed}" for name in ("midtrain.long", "eval.long", "rl.long", "eval.rl-long") for seed in (0, 1)
    }


def test_what_is_marked_as_no_part_of_the_identity_reruns_nothing() -> None:
    assert changed(with_branch("stable", checkpoint_every=3, keep_last=7, micro_batch=2)) == set()
    assert changed(dataclasses.replace(EXPERIMENT, threads=5, note="x", name="y")) == set()


def test_rl_and_eval_settings_rerun_no_training() -> None:
    names = changed(override(EXPERIMENT, ["rl.steps=5"]))
    assert names == {n for n in by_name() if n.startswith(("rl.", "eval.rl-"))}
    assert changed(override(EXPERIMENT, ["eval.samples=5"])) == {n for n in by_name() if n.startswith("eval.")}


def test_a_seed_s_stages_do_not_depend_on_which_seeds_run_beside() -> None:
    alone = by_name(dataclasses.replace(EXPERIMENT, seeds=(1,)))
    assert all(stage.key == by_name()[name].key for name, stage in alone.items())


def test_the_resolved_experiment_as_json_gives_the_same_stages() -> None:
    again = from_json(Experiment, json.loads(json.dumps(to_json(EXPERIMENT))))
    assert changed(again) == set()


# ---- plan -------------------------------------------------------------------------------------------------------------


def finish(stage: Stage, out: Path, **result: Any) -> None:
    """As if it had run."""
    file = stage.prepare(out)
    spec = json.loads(file.read_text())
    folder = stage.folder(out)
    folder.mkdir(parents=True)
    manifest = {
        **spec,
        **spec["identity"],
        "config": spec["config"],
        "code": "old",
        "started": 1.0,
        "seconds": 2.0,
        "result": result,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    file.unlink()
    file.parent.rmdir()


def rows(experiment: Experiment, out: Path) -> dict[str, plan.Row]:
    made = plan.make_plan(graph.expand(experiment), experiment, out, flops_per_second=1e9)
    return {row.stage.name: row for row in made}


def test_the_plan_tells_cached_from_stale_and_which_field_it_was(tmp_path: Path) -> None:
    for stage in by_name().values():
        finish(stage, tmp_path, tokens=1000, documents=10, n=20)
    assert {row.state for row in rows(EXPERIMENT, tmp_path).values()} == {"cached"}
    assert "has changed since" in rows(EXPERIMENT, tmp_path)["midtrain.long.s0"].warning
    changed = rows(with_branch("long", mixture={"web": 0.4, "long": 0.6}, micro_batch=3), tmp_path)
    assert changed["midtrain.short.s0"].state == "cached"
    assert (changed["midtrain.long.s0"].state, changed["midtrain.long.s0"].why) == (
        "stale",
        ("stage.mixture.web: 0.5 -> 0.4", "stage.mixture.long: 0.5 -> 0.6"),
    )
    assert changed["rl.long.s0"].why == ("its input model",)
    gone = rows(with_branch("long", mixture={"web": 1.0}), tmp_path)["midtrain.long.s0"].why
    assert gone == ("stage.mixture.web: 0.5 -> 1.0", "stage.mixture.long: 0.5 -> none", "its input shards.long")


def test_the_plan_shows_stages_that_failed_or_were_stopped(tmp_path: Path) -> None:
    stages = by_name()
    (stages["tokenizer"].prepare(tmp_path).parent / "error.txt").write_text("disk full\n\ntrace")
    stages["shards.web"].prepare(tmp_path)
    made = rows(EXPERIMENT, tmp_path)
    assert (made["tokenizer"].state, made["tokenizer"].why) == ("failed", ("disk full",))
    assert made["shards.web"].state == "resumes"
    assert made["shards.short"].state == "to do"


def test_tokens_steps_epochs_and_flops_by_hand(tmp_path: Path) -> None:
    finish(by_name()["shards.web"], tmp_path, tokens=160, documents=3)
    made = rows(EXPERIMENT, tmp_path)
    short = made["midtrain.short.s0"].cost
    assert (short.tokens, short.steps) == (640, 10)
    assert "web 0.5 (2 epochs)" in short.note  # half of 640 tokens, out of 160
    assert short.note.endswith("short 0.5; epochs unknown until tokenised")
    shape = dataclasses.replace(SHAPE, vocab_size=300)
    assert short.train_flops == shape.flops_per_token(16) * 640
    rl = made["rl.long.s0"].cost
    assert rl.note == "128 prompts x 16, at most 98,304 tokens"  # 2 steps of 8 tokens and 2 of 16, 2,048 responses each
    assert made["eval.long.s0"].cost.note == "held_out; how many problems is not known yet"
    finish(by_name()["problems.held_out"], tmp_path, n=20)
    measured = rows(EXPERIMENT, tmp_path)["eval.long.s0"].cost
    assert measured.note == "20 problems x (1 greedy + 3 sampled)"
    assert measured.tokens == 20 * 4 * 16 // 2


def test_memory_is_that_of_adam_in_fp32_and_is_sharded() -> None:
    shape = dataclasses.replace(SHAPE, vocab_size=300)
    one, eight = (plan.training_memory(shape, 64, "fp32", devices) for devices in (1, 8))
    assert one - eight == 16 * shape.num_parameters * 7 / 8
    assert plan.training_memory(shape, 128, "fp32", 1) - one == pytest.approx(one - 16 * shape.num_parameters)


def test_a_finished_parent_without_the_checkpoint_is_said_before_anything_runs(tmp_path: Path) -> None:
    """`keep_every` is no part of the identity, so a parent may be cached and lack what a new branch forks from."""
    stages = by_name()
    finish(stages["midtrain.stable.s0"], tmp_path)
    folder = stages["midtrain.stable.s0"].folder(tmp_path) / "checkpoints"
    (folder / "step-000010").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"keeping only steps \[10\]"):
        graph.check_forks(list(stages.values()), tmp_path)
    (folder / "step-000004").mkdir()
    graph.check_forks(list(stages.values()), tmp_path)


def test_a_real_manifest_has_what_the_plan_reads(tmp_path: Path) -> None:
    stage = Stage(name="tokenizer", kind="tokenizer", fn="fakes:work", config=_work(1))
    execute(stage.prepare(tmp_path))
    other = Stage(name="tokenizer", kind="tokenizer", fn="fakes:work", config=_work(2))
    found = plan.newest(other, tmp_path)
    assert found is not None
    assert plan.differences(other, found) == ["value: 1 -> 2"]


def _work(value: int) -> Any:
    from fakes import Work

    return Work(value=value)
