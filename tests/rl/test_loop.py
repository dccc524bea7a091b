"""The RL stage whole: it learns, resumes bit-equal, does not depend on micro-batches or ranks, and records what it must."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import zstandard
from safetensors.torch import load_file

from octothinker import native
from octothinker.config import RL, LengthSchedule, ModelConfig
from octothinker.model import fused
from octothinker.model.hf import save_model
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import train_tokenizer
from octothinker.native import library
from octothinker.records import read_jsonl
from octothinker.rl import loop as loop_module
from octothinker.rl.loop import RLRun, rl_stage
from octothinker.typed import to_json
from tests.ranks import two_ranks

VOLATILE = ("seconds", "rollout_tokens_per_second", "update_tokens_per_second")
DIGITS = 3


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model taught to box a digit, the asked one half of the time, and problems that ask for each digit."""
    root = tmp_path_factory.mktemp("rl-inputs")
    prompts = [f"Question:Say {n}.\nAnswer:" for n in range(DIGITS)]
    texts = [f"{p} \\boxed{{{a}}}" for n, p in enumerate(prompts) for a in (*range(DIGITS), n)]
    tokenizer = train_tokenizer(texts * 5, 320)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
    )
    model = Llama(config)
    torch.manual_seed(0)
    model.init_weights(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rows = [tokenizer.encode(text) + [tokenizer.eos_id] for text in texts]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [tokenizer.eos_id] * (width - len(row)) for row in rows])
    for _ in range(120):
        logits = model(tokens[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(root / "model", model, tokenizer)
    lines = [{"id": str(n), "question": f"Say {n}.", "answer": str(n), "level": "1"} for n in range(DIGITS)]
    (root / "problems.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"model": root / "model", "problems": root, "eval_problems": root}


def settings(**changes: object) -> RLRun:
    plain: dict[str, object] = {
        "problems": "digits",
        "steps": 6,
        "prompts_per_step": 4,
        "group_size": 4,
        "minibatch_prompts": 4,
        "length": LengthSchedule(limits=((0, 8), (3, 12))),
        "lr": 1e-3,
        "precision": "fp32",
        "eval_problems": "digits",
        "eval_every": 2,
        "checkpoint_every": 1,
    }
    return RLRun(rl=RL(**{**plain, **changes}), seed=3)  # type: ignore[arg-type]


def rows(out: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in VOLATILE} for row in read_jsonl(out / "metrics.jsonl")]


def rollouts(out: Path) -> list[dict[str, object]]:
    files = sorted((out / "rollouts").glob("*.zst"))
    return [json.loads(line) for f in files for line in zstandard.decompress(f.read_bytes()).decode().splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def whole(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    rl_stage(settings(), inputs, out)
    return out


def test_it_records_what_it_must(whole: Path) -> None:
    wanted = {
        "reward",
        "accuracy",
        "length_mean",
        "length_correct",
        "length_max",
        "truncation",
        "repetition",
        "entropy",
    }
    wanted |= {"kl_start", "clip_fraction", "zero_variance", "logp_gap", "limit", "lr", "boxed", "grad_norm"}
    wanted |= {"no_box", "undecided", "timeouts", "slow_true"}  # of the grader
    raw = read_jsonl(whole / "metrics.jsonl")
    assert [row["step"] for row in raw] == list(range(6))
    assert all(wanted | set(VOLATILE) <= set(row) for row in raw)
    assert [row["limit"] for row in raw] == [8, 8, 8, 12, 12, 12]
    assert [row["step"] for row in raw if "val_accuracy" in row] == [0, 2, 4]
    assert raw[0]["kl_start"] == pytest.approx(0, abs=1e-5)  # the policy is still the start model
    assert raw[0]["logp_gap"] < 1e-5  # fp32: the engine and the trainer agree
    stored = rollouts(whole)
    assert len(stored) == 6 * 4 * 4
    for row in raw:
        mine = [s for s in stored if s["step"] == row["step"]]
        assert sum(s["reward"] for s in mine) / len(mine) == pytest.approx(row["reward"])  # type: ignore[misc]
        assert sum(s["kind"] == "equal" for s in mine) / len(mine) == pytest.approx(row["accuracy"])
        no_box = sum(s["kind"] in ("no_answer", "truncated") for s in mine)
        assert no_box / len(mine) == pytest.approx(row["no_box"])


def test_it_learns(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Saying the asked digit is rewarded: from one half to more than four fifths."""
    changes = {"length": LengthSchedule(limits=((0, 12),)), "group_size": 16, "lr": 2e-3}
    result = rl_stage(settings(steps=30, eval_every=100, checkpoint_every=100, **changes), inputs, tmp_path)
    accuracy = [row["accuracy"] for row in rows(tmp_path)]
    assert sum(accuracy[:5]) / 5 < 0.65 and sum(accuracy[-5:]) / 5 > 0.8
    assert result["reward_last"] > result["reward_first"] + 0.5
    assert rows(tmp_path)[-1]["kl_start"] > 0.01


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop_at", range(1, 6))
def test_resume_diamond(
    inputs: dict[str, Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    plain: Callable[..., dict[str, float]] = loop_module.update
    calls = iter(range(100))

    def stopping(*args: object) -> dict[str, float]:
        if next(calls) == stop_at:
            raise Interrupted
        return plain(*args)

    monkeypatch.setattr(loop_module, "update", stopping)
    with pytest.raises(Interrupted):
        rl_stage(settings(), inputs, tmp_path)
    monkeypatch.undo()
    rl_stage(settings(), inputs, tmp_path)
    assert rows(tmp_path) == rows(whole)
    assert rollouts(tmp_path) == rollouts(whole)
    a, b = weights(whole), weights(tmp_path)
    assert all(torch.equal(a[k], b[k]) for k in a)


def assert_close(one: Path, other: Path) -> None:
    a, b = rows(one), rows(other)
    for key in ("reward", "length_mean", "grad_norm"):
        assert [row[key] for row in a] == pytest.approx([row[key] for row in b], abs=2e-3), key
    x, y = weights(one), weights(other)
    assert max((x[k] - y[k]).abs().max().item() for k in x) < 5e-3


def test_micro_batches_do_not_matter(inputs: dict[str, Path], whole: Path, tmp_path: Path) -> None:
    rl_stage(settings(micro_batch_tokens=40), inputs, tmp_path)
    assert_close(whole, tmp_path)


def test_compiled_operators_do_not_matter(
    inputs: dict[str, Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run on the plain network and the plain engine: the same rewards, and metrics and weights within the tolerance."""
    if library() is None:
        pytest.skip("the operators are not built")
    monkeypatch.setattr(fused, "usable", lambda weight: False)
    monkeypatch.setattr(native, "library", lambda: None)
    rl_stage(settings(), inputs, tmp_path)
    assert_close(whole, tmp_path)


@pytest.mark.slow
def test_two_ranks_equal_one(inputs: dict[str, Path], whole: Path, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "import json, sys, torch\nfrom pathlib import Path\nfrom octothinker.rl.loop import RLRun, rl_stage\n"
        "from octothinker.train import dist\nfrom octothinker.typed import from_json\ntorch.set_num_threads(1)\n"
        "inputs = {k: Path(v) for k, v in json.loads(sys.argv[2]).items()}\n"
        "if __name__ == '__main__':\n"
        "    rl_stage(from_json(RLRun, json.loads(sys.argv[1])), inputs, Path(sys.argv[3]))\n    dist.finish()\n"
    )
    out = tmp_path / "two"
    out.mkdir()
    config, paths = json.dumps(to_json(settings())), json.dumps({k: str(v) for k, v in inputs.items()})
    two_ranks(script, config, paths, str(out))
    assert_close(whole, out)


def test_off_policy_minibatches_clip(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Four mini-batches a step at a high rate: the later ones are off-policy, ratios leave the clip range."""
    rl_stage(settings(minibatch_prompts=1, lr=3e-2, steps=3), inputs, tmp_path)
    assert max(row["clip_fraction"] for row in rows(tmp_path)) > 0


def test_on_policy_never_clips(whole: Path) -> None:
    assert all(row["clip_fraction"] == 0 for row in rows(whole))


def test_kl_holds_the_policy(inputs: dict[str, Path], tmp_path: Path) -> None:
    free, held = tmp_path / "free", tmp_path / "held"
    for folder in (free, held):
        folder.mkdir()
    changes = {"steps": 20, "group_size": 16, "eval_problems": None, "length": LengthSchedule(limits=((0, 12),))}
    rl_stage(settings(**changes), inputs, free)
    rl_stage(settings(**changes, kl_coef=5.0), inputs, held)
    assert rows(held)[-1]["kl_start"] < rows(free)[-1]["kl_start"] / 3


def test_filtering_zero_variance_groups(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Token-mean: without the flat groups the same gradients are divided by fewer tokens, so the norm can only grow."""
    rl_stage(settings(steps=1, filter_zero_variance=True, checkpoint_every=9), inputs, tmp_path)
    (filtered,) = rows(tmp_path)
    plain = tmp_path / "plain"
    plain.mkdir()
    rl_stage(settings(steps=1, checkpoint_every=9), inputs, plain)
    (unfiltered,) = rows(plain)
    assert filtered["reward"] == unfiltered["reward"]
    if unfiltered["zero_variance"] > 0:
        assert filtered["grad_norm"] > unfiltered["grad_norm"]


def test_masked_truncation_draws_no_lesson(inputs: dict[str, Path], tmp_path: Path) -> None:
    """With a limit no answer fits in, everything is cut off: nothing is graded, nothing learnt, and it says so."""
    tight = replace(settings().rl, length=LengthSchedule(limits=((0, 1),)), mask_truncated=True, steps=2)
    rl_stage(RLRun(rl=tight, seed=0), inputs, tmp_path)
    for row in rows(tmp_path):
        assert (row["truncation"], row["ungraded"], row["grad_norm"]) == (1.0, 16, 0.0)
