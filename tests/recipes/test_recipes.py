"""The recipes that ship: the paper's numbers as its tables have them, and experiments that hold together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from octothinker.config import Experiment
from octothinker.recipes import RECIPES, find
from octothinker.recipes.octothinker import MIXTURES, SHAPES, math8k, openr1
from octothinker.typed import ConfigError, from_json, to_json

PAPER = ["octothinker-1b", "octothinker-3b", "octothinker-8b"]

# PAPER section 2: share of tokens. The three instruction sets are one line there.
TABLE = {
    "stable": {
        "megamath-web-pro-max": 0.725,
        "dclm": 0.10,
        "megamath-text-code": 0.10,
        "megamath-code": 0.0125,
        "megamath-translated-code": 0.0125,
        "megamath-qa": 0.05,
    },
    "long": {"megamath-web-pro": 0.55, "dclm": 0.05, "instruction": 0.10, "openr1": 0.15, "am-distilled": 0.15},
    "short": {
        "megamath-web-pro": 0.55,
        "dclm": 0.05,
        "megamath-qa": 0.025,
        "instruction": 0.10,
        "openmathinstruct2": 0.175,
        "numinamath": 0.10,
    },
    "hybrid": {
        "megamath-web-pro": 0.55,
        "dclm": 0.05,
        "instruction": 0.10,
        "openr1": 0.10,
        "openmathinstruct2": 0.10,
        "numinamath": 0.10,
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_whole_and_survives_json(name: str) -> None:
    experiment = find(name)
    assert experiment.name == name
    assert experiment.note
    assert from_json(Experiment, json.loads(json.dumps(to_json(experiment)))) == experiment


@pytest.mark.parametrize("branch", TABLE)
def test_mixtures_are_the_paper_s(branch: str) -> None:
    merged: dict[str, float] = {}
    for source, share in MIXTURES[branch].items():
        name = "instruction" if source in ("tulu-if", "wildchat", "ultrachat") else source
        merged[name] = merged.get(name, 0.0) + share
    assert merged == pytest.approx(TABLE[branch], abs=1e-9)


@pytest.mark.parametrize(
    ("name", "rate", "billions"), list(zip(PAPER, [5e-5, 2e-5, 1e-5], [1.24, 3.21, 8.03], strict=True))
)
def test_stable_then_decay_as_in_the_paper(name: str, rate: float, billions: float) -> None:
    experiment = find(name)
    stable = experiment.stage("stable")
    assert (stable.steps, stable.seq_len, stable.batch_size) == (50_000, 8_192, 512)
    assert (stable.schedule.kind, stable.schedule.lr, stable.schedule.warmup_tokens) == ("constant", rate, 0)
    for branch in ("short", "long", "hybrid"):
        decay = experiment.stage(branch)
        assert (decay.parent, decay.steps) == ("stable", 5_000)
        assert (decay.schedule.kind, decay.schedule.lr, decay.schedule.final_ratio) == ("cosine", None, 0.1)
        assert decay.optimizer.weight_decay == 0.1
    assert round(SHAPES[str(experiment.model.path)].num_parameters / 1e9, 2) == billions
    assert experiment.rl_from == ("start", "short", "long", "hybrid")


def test_rl_is_the_paper_s() -> None:
    rl = find("octothinker-3b").rl
    assert rl is not None
    assert (rl.prompts_per_step, rl.group_size, rl.minibatch_prompts, rl.temperature) == (128, 16, 64, 1.0)
    assert (rl.lr, rl.kl_coef, rl.clip_low, rl.clip_high) == (1e-6, 0.0, 0.2, 0.2)
    assert (rl.advantage, rl.aggregate, rl.reward_correct, rl.reward_wrong) == ("grpo", "token_mean", 1.0, -1.0)
    gradient_steps = rl.prompts_per_step // rl.minibatch_prompts
    limits = [(step * gradient_steps, limit) for step, limit in rl.length.limits]
    assert limits == [(0, 2048), (200, 4096), (320, 8192)]
    assert rl.steps * gradient_steps == 400


def test_the_three_sizes_differ_in_base_and_rate_alone() -> None:
    """Identical conditions, said by the recipe and not by copies of it."""
    one, three = find("octothinker-1b"), find("octothinker-3b")
    stable = dataclasses.replace(one.midtrain[0], schedule=three.midtrain[0].schedule)
    same = {"name": three.name, "note": three.note, "model": three.model, "midtrain": (stable, *one.midtrain[1:])}
    assert dataclasses.replace(one, **same) == three  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAPER)
def test_a_plan_of_the_paper_needs_no_network_and_no_weights(name: str, tmp_path: Path) -> None:
    from octothinker.graph import expand
    from octothinker.plan import make_plan

    experiment = find(name)
    rows = {row.stage.name: row for row in make_plan(expand(experiment), experiment, tmp_path, 1e15, devices=64)}
    stable = rows["midtrain.stable.s0"].cost
    assert (stable.tokens, stable.steps) == (209_715_200_000, 50_000)
    size = SHAPES[str(experiment.model.path)].num_parameters
    assert 6 * size * 2.0e11 < stable.train_flops < 9 * size * 2.1e11  # 6 N D, and the attention of 8k tokens
    assert {f"eval.rl-{init}.s0" for init in experiment.rl_from} <= set(rows)
    assert not list(tmp_path.iterdir())


def test_smollm2_trains_on_the_tokens_asked_for() -> None:
    experiment = find("smollm2-135m")
    assert sum(stage.steps * stage.tokens_per_step for stage in experiment.midtrain) >= 200_000
    assert experiment.rl is not None
    assert experiment.rl.steps >= 10
    levels = [set(experiment.problems[name].args["levels"]) for name in ("sums", "sums-test")]
    assert levels[0] == levels[1]
    assert experiment.problems["sums"].args["split"] != experiment.problems["sums-test"].args["split"]


# ---- sources that need more than a template ---------------------------------------------------------------------------


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_openr1_keeps_the_thinking_of_verified_answers(tmp_path: Path) -> None:
    row = {
        "problem": "What is 1+1?",
        "generations": ["<think>\nOne and one.\n</think>\n2", "<think>No.</think> 3", "<think>Cut off", "2"],
        "correctness_math_verify": [True, False, True, True],
        "is_reasoning_complete": [True, True, False, True],
    }
    assert list(openr1(jsonl(tmp_path / "a.jsonl", [row]))) == [{"text": "What is 1+1?\nOne and one."}]


def test_math8k_reads_questions_out_of_extra_info_and_drops_empty_answers(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"extra_info": {"question": "q", "answer": 118, "level": 5}},
        {"extra_info": {"question": "no answer", "answer": "", "level": 5}},
    ]
    assert list(math8k(jsonl(tmp_path / "a.jsonl", rows))) == [{"question": "q", "answer": "118", "level": 5}]
    with pytest.raises(ConfigError, match=r"b\.jsonl: line 1: no extra_info\.question"):
        list(math8k(jsonl(tmp_path / "b.jsonl", [{"question": "q"}])))


# ---- finding ----------------------------------------------------------------------------------------------------------


def test_a_module_s_function_is_a_recipe_too() -> None:
    assert find("octothinker.recipes.octothinker:octothinker_1b").name == "octothinker-1b"
    with pytest.raises(ConfigError, match="has no 'octothinker_2b'; did you mean"):
        find("octothinker.recipes.octothinker:octothinker_2b")
    with pytest.raises(ConfigError, match="recipe 'octo-3b' does not exist"):
        find("octo-3b")
