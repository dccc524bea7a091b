"""The reward functions in the form of TRL and verl, by their own loaders where these are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from octothinker.grade import rewards

RIGHT, WRONG, NONE = "so \\boxed{\\frac{1}{2}}", "so \\boxed{2}", "so 0.5"


def test_trl_form() -> None:
    texts = [RIGHT, WRONG, NONE, RIGHT]
    golds = ["0.5", "0.5", "0.5", ""]
    expected = [1.0, 0.0, 0.0, None]
    assert rewards.boxed_reward(texts, answer=golds, prompts=texts, completion_ids=[[1]] * 4) == expected
    chats = [[{"role": "user", "content": RIGHT}, {"role": "assistant", "content": text}] for text in texts]
    assert rewards.boxed_reward(completions=chats, solution=golds) == expected
    with pytest.raises(ValueError, match="answer, gold, solution"):
        rewards.boxed_reward(texts, question=golds)


def test_verl_form() -> None:
    score = rewards.compute_score("math", RIGHT, "0.5", extra_info={}, sandbox_fusion_url=None)
    assert score == {"score": 1.0, "acc": True, "pred": "\\frac{1}{2}", "kind": "equal", "how": "fast"}
    assert rewards.compute_score(data_source="x", solution_str=NONE, ground_truth="0.5")["score"] == 0.0
    assert rewards.compute_score("x", RIGHT, "")["kind"] == "bad_gold"


def test_one_grader_a_process_and_none_left_behind() -> None:
    code = (
        "import os; from octothinker.grade import rewards as r\n"
        "r._grader(os.getpid())._all[0].timeout = 60.0\n"
        "print(r.boxed_reward(['\\\\boxed{\\\\sec^2 y}'], gold=['1+\\\\tan^2 y'])[0], *r._grader(os.getpid()).pids)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    value, pid, *_ = done.stdout.split()
    assert value == "1.0"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.slow
def test_trl_loads_and_calls_it(tmp_path: Path) -> None:
    """GRPOTrainer itself, one step of a random model: its rewards are ours, a gold that nobody can grade against is left out."""
    pytest.importorskip("trl")
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    from octothinker.bench.prepare import Bench

    folder = Bench(tmp_path, 1).model("nano-64")
    rows = [{"prompt": f"{i} + {i} =", "answer": str(2 * i)} for i in range(3)] + [{"prompt": "?", "answer": ""}]
    said: list[list[float | None]] = []

    def reward(**inputs: Any) -> list[float | None]:
        inputs["completions"] = [f"\\boxed{{{g}}}" if i % 2 else "6" for i, g in enumerate(inputs["answer"])]
        said.append(rewards.boxed_reward(**inputs))
        return said[-1]

    config = trl.GRPOConfig(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=8, num_generations=2,
        max_completion_length=4, use_cpu=True, bf16=False, report_to="none", save_strategy="no", logging_steps=1,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(str(folder), reward, config, train_dataset=datasets.Dataset.from_list(rows))
    trainer.train()
    assert len(said) == 1
    assert all(sorted(map(str, values)) == ["0.0"] * 3 + ["1.0"] * 3 + ["None"] * 2 for values in said)
    assert [log["rewards/reward/mean"] for log in trainer.state.log_history if "reward" in log] == [0.5]


def test_the_dotted_path_of_the_trl_command_is_the_function() -> None:
    """`trl grpo --reward_funcs PATH` splits at the last dot, imports and takes the attribute."""
    import importlib

    module, _, name = "octothinker.grade.rewards.boxed_reward".rpartition(".")
    assert getattr(importlib.import_module(module), name) is rewards.boxed_reward


def test_verl_loads_and_calls_it() -> None:
    """Its own loader in the environment that has it: VERL_PYTHON names that environment's Python."""
    python = os.environ.get("VERL_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import verl"], capture_output=True).returncode:
        pytest.skip("needs verl: VERL_PYTHON=/path/to/python of an environment that has it")
    code = (
        "import json; from omegaconf import OmegaConf; from verl.trainer.ppo.reward import get_custom_reward_fn\n"
        "where = {'path': 'pkg://octothinker.grade.rewards', 'name': 'compute_score', 'reward_kwargs': {'more': 1}}\n"
        "fn = get_custom_reward_fn(OmegaConf.create({'reward': {'custom_reward_function': where}}))\n"
        "print(json.dumps(fn(data_source='x', solution_str='\\\\boxed{4}', ground_truth='4', extra_info={})))"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["score"] == 1.0
