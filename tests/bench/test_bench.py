"""`octo bench`: the floors by hand, what a row says, turns, what is missing, and the whole path in small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from octothinker.bench import compare, floors, works
from octothinker.bench.prepare import Bench
from octothinker.config import ModelConfig
from octothinker.typed import ConfigError

KEYS = {"work", "model", "peer", "ours", "theirs", "unit", "ratio", "spread", "reach", "peak_mb", "floor", "setting"}
ROLLOUT, MIDTRAIN, GRPO = works.SMOKE


@pytest.fixture
def model() -> ModelConfig:
    """Head 10 x 4; a layer's matrices 4 x (4 + 2 + 2) + 4 x 4 + 3 x 4 x 8 = 144, its norms 8; two layers, a last norm."""
    return ModelConfig(
        vocab_size=10, hidden_size=4, intermediate_size=8, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=2
    )


# ---- floors -----------------------------------------------------------------------------------------------------------


def test_the_floor_of_a_rollout_by_hand(model: ModelConfig) -> None:
    weights = 40 + 2 * (144 + 8) + 4
    assert floors.matmul_weights(model) == weights == 348
    # One prompt of 3, two responses of 3 tokens: the third is sampled from the second step's logits.
    # Prefill: 2 x 308 a token, the head once, 1 + 2 + 3 keys at 4 x 2 layers x 2 heads x 2 = 32 operations.
    # Decode: 2 responses x 2 steps x 2 x 348; keys 4 and 5 a response.
    need = floors.rollout(model, [3], group=2, tokens=3)
    assert need.flops == (3 * 616 + 80 + 32 * 6) + (4 * 696 + 32 * 2 * (4 + 5))
    # Weights three times; a token's keys and values are 2 x 2 bytes x 2 layers x 2 = 16 bytes: each step the prompt's
    # once for both responses, and each one's own 1, then 2.
    assert need.bytes == 3 * 2 * 348 + 16 * (2 * 3 + 2 * (1 + 2))


def test_a_group_shares_its_prompt_and_nothing_else(model: ModelConfig) -> None:
    alone, both = (floors.rollout(model, [50], group=n, tokens=9) for n in (1, 2))
    assert both.flops < 2 * alone.flops
    assert both == floors.rollout(model, [50], group=2, tokens=9)
    twice = floors.rollout(model, [50, 50], group=1, tokens=9)
    assert twice.flops == 2 * alone.flops
    assert both.bytes < twice.bytes < 2 * alone.bytes, "two prompts in one batch: the weights are read once"


def test_the_floors_of_training_and_of_a_grpo_step_by_hand(model: ModelConfig) -> None:
    need = floors.training(model, sequences=3, seq_len=4)
    assert need.flops == 12 * (6 * 348 + 6 * 2 * 2 * 2 * 4)
    assert need.bytes == 32 * 348
    step, response = floors.grpo(model, [3], group=2, tokens=3), floors.rollout(model, [3], group=2, tokens=3)
    # The update: 3 prompt tokens without the head, 6 of responses with it; keys 1 + 2 + 3, and 4 + 5 + 6 twice.
    assert step.flops - response.flops == 3 * 6 * 308 + 6 * 6 * 348 + 96 * (6 + 2 * 15)
    assert step.bytes - response.bytes == 32 * 348


def test_the_floor_is_the_longer_of_the_two() -> None:
    machine = floors.Machine(flops=100.0, bandwidth=10.0)
    assert floors.Need(200.0, 10.0).seconds(machine) == 2.0
    assert floors.Need(200.0, 10.0).bound(machine) == "operations"
    assert floors.Need(200.0, 50.0).seconds(machine) == 5.0
    assert floors.Need(200.0, 50.0).bound(machine) == "bytes"


# ---- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_has_medians_and_the_spread_of_pairs() -> None:
    work = replace(ROLLOUT, prompts=2, group=2, tokens=8, reach={"transformers": 3.0})  # 32 tokens a round
    row = compare.row(work, "transformers", [[1.0, 2.0, 4.0], [2.0, 8.0, 4.0]], [100.4, 200.6])
    assert (row["ours"], row["theirs"], row["unit"]) == (16.0, 8.0, "tokens/s")
    assert (row["ratio"], row["spread"], row["reach"]) == (2.0, [1.0, 4.0], 3.0)
    assert row["peak_mb"] == [100, 201]
    alone = compare.row(work, "vllm", [[2.0]], [100.0])
    assert (alone["ours"], alone["theirs"], alone["ratio"], alone["spread"]) == (16.0, None, None, None)
    assert replace(MIDTRAIN, steps=3, batch=2, seq_len=64).amount == 384
    assert replace(GRPO, prompts=4, group=8).amount == 32


def test_utilisation_is_a_share_of_the_measured_peak() -> None:
    machine = floors.Machine(flops=100e9, bandwidth=1.0)
    row = compare.utilisation(MIDTRAIN, 50e9, [1.0, 2.0, 4.0], machine)
    assert (row["ours"], row["theirs"], row["ratio"], row["spread"]) == (25.0, 100.0, 0.25, [0.125, 0.5])
    assert set(row) >= KEYS


def test_sides_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []

    class Fake:
        peak_mb = 1.0

        def __init__(self, python: str, spec: dict[str, Any]) -> None:
            self.name = spec["side"]

        def go(self) -> float:
            said.append(self.name)
            return 1.0

        def __enter__(self) -> Fake:
            return self

        def __exit__(self, *_: object) -> None:
            said.append(f"end {self.name}")

    monkeypatch.setattr(compare, "Side", Fake)
    times, peaks = compare.turns(Bench(tmp_path, 1), ROLLOUT, "transformers", sys.executable, {}, 2, "fp32")
    assert said == ["octothinker", "transformers"] * 2 + ["end transformers", "end octothinker"]
    assert (times, peaks) == ([[1.0, 1.0], [1.0, 1.0]], [1.0, 1.0])


def test_both_sides_get_the_same_prompts_and_the_issue_is_covered(tmp_path: Path) -> None:
    spec = Bench(tmp_path, 1).spec(works.WORKS[0])
    assert (len(spec["prompts"]), spec["group"], spec["tokens"]) == (16, 16, 128)
    assert len({len(p) for p in spec["prompts"]}) > 1, "padding is part of the work"
    for work in (*works.WORKS, *works.SMOKE, *works.CURVES):
        for peer in work.reach:
            assert works.SETTINGS[peer, work.kind]
            assert peer in compare.INSTALL
    names = [work.name for work in works.CURVES]
    assert len(set(names)) == len(names)


# ---- what is missing, what is wrong -----------------------------------------------------------------------------------


def test_a_missing_peer_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    absent = str(tmp_path / "bin" / "python")
    assert compare.missing(ROLLOUT, "vllm", absent) == "vllm"
    assert compare.missing(ROLLOUT, "vllm", sys.executable) is None
    here = {"transformers"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in here else None)
    assert compare.missing(ROLLOUT, "transformers", "") is None
    assert compare.missing(MIDTRAIN, "transformers", "") == "accelerate"
    assert compare.missing(GRPO, "trl", "") == "trl"
    monkeypatch.setattr(compare, "turns", lambda *_: ([[2.0]], [1.0]))
    said: list[str] = []
    rows = compare.compare(Bench(tmp_path, 1), GRPO, floors.Machine(1.0, 1.0), absent, 1, (), said.append)
    (row,) = rows
    assert row["theirs"] is None
    assert row["missing"] == "trl is not installed: pip install 'octothinker[bench]', or make bench"
    assert said == [f"grpo-nano: ours alone; {row['missing']}"]


def test_names_of_works() -> None:
    assert [work.name for work in works.chosen(["rollout-smollm2", "rollout-nano"], works.WORKS)] == [
        "rollout-nano",
        "rollout-smollm2-32",
        "rollout-smollm2-128",
    ]
    with pytest.raises(ConfigError, match="no such work; did you mean 'rollout-nano'"):
        works.chosen(["rollout-nanoo"], works.WORKS)


def test_names_of_settings() -> None:
    every = works.SETTINGS["vllm", "rollout"]
    assert works.settings("vllm", "rollout", [], "bf16") == every
    assert works.settings("vllm", "rollout", ["bf16 sdpa static"], "bf16") == every, "another peer's"
    assert list(works.settings("vllm", "rollout", ["bf16 eager", "bf16 sdpa static"], "bf16")) == ["bf16 eager"]
    assert list(works.settings("vllm", "rollout", ["first"], "bf16")) == [next(iter(every))]
    assert list(works.settings("vllm", "rollout", ["first"], "fp32")) == ["fp32 compiled, libiomp5"]
    with pytest.raises(ConfigError, match="did you mean 'bf16 compiled'"):
        works.settings("vllm", "rollout", ["bf16 compild"], "bf16")


def test_a_side_that_fails_shows_why(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"side": "octothinker", "kind": "rollout", "name": "x", "threads": 1}
    spec |= {"folder": str(tmp_path / "nowhere"), "setting": {"precision": "fp32"}}
    with pytest.raises(compare.SideFailed, match=r"octothinker x ended with code 1:(.|\n)*nowhere"):
        compare.Side(sys.executable, spec)


# ---- graders -----------------------------------------------------------------------------------------------------------


def test_pairs_are_true_by_construction_and_our_grader_agrees() -> None:
    from octothinker.bench.pairs import pairs
    from octothinker.grade.pool import Grader, Item

    made = pairs(400, seed=1)
    assert made == pairs(400, seed=1)
    assert [pair.equal for pair in made].count(True) == 200
    with Grader(command=["/bin/false"]) as grader:  # all of them are for the exact path
        verdicts = grader.grade([Item(pair.response, pair.gold) for pair in made])
    assert [v.correct for v in verdicts] == [pair.equal for pair in made]


def test_graders_are_compared_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from octothinker.bench import grading

    class Fake:
        """Rewards all that has a box, hangs on what nests."""

        def __init__(self, command: list[str], limit: float) -> None:
            self.folder = Path(command[-2])

        def ask(self, gold: str, response: str) -> bool | None:
            (self.folder / grading.CANARY).touch()
            return None if "((((" in response else "boxed{" in response

        def close(self) -> None:
            pass

    monkeypatch.setattr(grading, "Worker", Fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "math_verify" else None)
    monkeypatch.setattr(grading, "turns", lambda *_: ([[1.0, 1.0], [4.0, 2.0]], [1.0, 2.0]))
    rows = list(grading.compare_graders(Bench(tmp_path, 1), 2, True, lambda text: None))
    assert all(set(row) >= KEYS for row in rows)
    assert [row["work"].rpartition(", ")[2] for row in rows if row["peer"] == "math-verify"] == [
        "%", "rewarded", "hang or die", "grading: ran code from an answer", "ms", "ms", "grading",
    ]  # fmt: skip
    fast, right, rewarded, _, ran, p99, longest, speed, *rest = rows
    assert fast["peer"] is None and fast["ours"] > 0 and fast["unit"] == "pairs/s"
    assert p99["unit"] == longest["unit"] == "ms" and 0 < p99["ours"] <= longest["ours"]
    assert (right["ours"], right["unit"], ran["theirs"]) == (50.0, "%", 1.0)
    assert rewarded["theirs"] > 0
    assert (speed["ratio"], speed["spread"], speed["unit"], speed["ours"]) == (3.0, [2.0, 4.0], "pairs/s", 60.0)
    assert [(row["peer"], "not installed" in row["missing"]) for row in rest] == [("mathruler", True), ("verl", True)]


@pytest.mark.slow
def test_smoke_of_grading_as_a_user_types_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "octothinker", "bench", "grading", "--smoke", "--threads", "1", "--json"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    )
    assert ended.returncode == 0, ended.stderr
    rows = [row for row in json.loads(ended.stdout) if row["peer"] == "math-verify"]
    assert rows[0]["ours"] == 100.0
    assert [row["ours"] for row in rows[1:4]] == [0.0, 0.0, 0.0], "rewarded, hang, ran code"
    assert rows[-1]["ratio"] > 0


# ---- the whole path ---------------------------------------------------------------------------------------------------


def typed(cwd: Path, *words: str) -> tuple[list[dict[str, Any]], str]:
    """`octo bench` with these words: the rows, and stderr."""
    command = [sys.executable, "-m", "octothinker", "bench", *words, "--smoke", "--threads", "1", "--json"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": path})
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


@pytest.mark.slow
def test_a_profile_shares_out_the_whole_time(tmp_path: Path) -> None:
    rows, _ = typed(tmp_path, "midtrain-nano", "--profile")
    shares = {row["work"].removeprefix("profile midtrain-nano: "): row["ours"] for row in rows}
    assert {"aten::mm", "other operators", "elsewhere"} <= set(shares)
    assert all(share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(100, abs=1)


@pytest.mark.slow
def test_smoke_as_a_user_types_it(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    rows, said = typed(tmp_path)
    assert [(row["work"], row["peer"]) for row in rows] == [
        ("rollout-nano", "transformers"),
        ("midtrain-nano", "transformers"),
        ("grpo-nano", "trl"),
    ]
    for row in rows:
        assert set(row) >= KEYS
        assert row["ours"] > 0
        assert row["peak_mb"][0] > 50
        assert row["ours"] < row["floor"], "nothing is faster than the machine"
        if "missing" in row:
            assert row["theirs"] is None
            assert row["missing"] in said
        else:
            assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
            assert row["setting"] in works.SETTINGS[row["peer"], row["work"].partition("-")[0]]
    assert "missing" not in rows[0]
