"""The whole experiment at toy size through the real command, with every real stage: run, killed, resumed, reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

RECIPE = textwrap.dedent("""
    from octothinker.config import *

    def documents(count):
        for i in range(count):
            yield {"text": f"Question:What is {i % 7} + {i % 5}?\\nAnswer: \\\\boxed{{{i % 7 + i % 5}}}"}

    def problems(first):
        for i in range(first, first + 6):
            yield {"question": f"What is {i % 7} + {i % 5}?", "answer": str(i % 7 + i % 5), "level": i % 2 + 1}

    def toy():
        stage = dict(seq_len=32, batch_size=4, precision="fp32", checkpoint_every=2)
        return Experiment(
            name="toy",
            model=StartModel(config=ModelConfig(vocab_size=1, hidden_size=16, intermediate_size=32, num_layers=1,
                                                num_heads=2, num_kv_heads=1, head_dim=8)),
            tokenizer=TokenizerConfig(vocab_size=270, sources=("sums",)),
            sources={"sums": Source(generator="toy:documents", args={"count": 200})},
            problems={"train": Problems(generator="toy:problems", args={"first": 0}),
                      "test": Problems(generator="toy:problems", args={"first": 6})},
            midtrain=(
                Midtrain(name="base", mixture={"sums": 1.0}, tokens=1280, keep_every=4,
                         schedule=Schedule(kind="constant", lr=3e-3), **stage),
                Midtrain(name="long", parent="base", fork_step=8, mixture={"sums": 1.0}, tokens=1280,
                         schedule=Schedule(kind="cosine"), **stage),
            ),
            rl=RL(problems="train", steps=4, prompts_per_step=2, minibatch_prompts=2, group_size=2, lr=1e-3,
                  length=LengthSchedule(limits=((0, 6),)), precision="fp32", checkpoint_every=1),
            rl_from=("base", "long"),
            base="base",
            eval=Eval(problems=("test",), samples=2, max_tokens=6, pass_k=(1, 2), precision="fp32"),
            threads=1,
        )
""")


def octo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "octothinker", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    text, _ = process.communicate(timeout=300)
    return process.returncode, text


def weights(out: Path) -> dict[str, bytes]:
    files = out.glob("stages/*/model/model.safetensors")
    return {file.parts[-3]: file.read_bytes() for file in files}


@pytest.mark.slow
def test_run_killed_anywhere_goes_on_to_the_same_bytes_and_is_reported(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(RECIPE)
    code, text = finish(octo(tmp_path, "run", "toy.py:toy", "--out", "whole"))
    assert code == 0, text
    assert "Report: whole/report.html" in text
    assert "gain, 95% interval" in text

    # The same in another folder, the whole tree of processes killed as soon as a stage has a checkpoint to resume from.
    for kind in ("midtrain.long", "rl."):
        process = octo(tmp_path, "run", "toy.py:toy", "--out", "killed", "--jobs", "1")
        deadline = time.time() + 200
        while not list(tmp_path.glob(f"killed/stages/{kind}*.tmp/checkpoints/latest")):
            assert time.time() < deadline and process.poll() is None, "no checkpoint came"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)  # its children must notice by themselves
        process.wait()
        wait_for_the_children(tmp_path / "killed")
    code, text = finish(octo(tmp_path, "run", "killed/experiment.json"))
    assert code == 0, text
    assert len(weights(tmp_path / "whole")) == 4
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")

    report = json.loads(finish(octo(tmp_path, "report", "killed", "--json"))[1])
    assert [(row["init"], row["seed"]) for row in report["runs"]] == [("base", 0), ("long", 0)]
    assert finish(octo(tmp_path, "status", "killed"))[0] == 0
    manifest = next((tmp_path / "whole/stages").glob("midtrain.long.s0-*/manifest.json"))
    config: dict[str, Any] = json.loads(manifest.read_text())["config"]
    assert (config["fork_step"], config["lr"]) == (8, 3e-3)


def wait_for_the_children(out: Path) -> None:
    from octothinker.stage import running

    deadline = time.time() + 60
    while any(running(tmp) for tmp in out.glob("stages/*.tmp")):
        assert time.time() < deadline, "a stage outlived its run"
        time.sleep(0.05)
