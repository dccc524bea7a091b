"""The command line: exit codes, messages, what is shown, and that the help tells by example."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from octothinker.cli.units import amount, duration, size
from octothinker.records import write_json

Octo = Callable[..., Any]

RECIPE = textwrap.dedent("""
    from octothinker.config import *

    def experiment():
        stage = dict(seq_len=8, batch_size=2, tokens=160)
        return Experiment(
            name="mine",
            note="A recipe of mine.",
            model=StartModel(config=ModelConfig(vocab_size=1, hidden_size=8, intermediate_size=8, num_layers=1,
                                                num_heads=2, num_kv_heads=1, head_dim=4)),
            tokenizer=TokenizerConfig(vocab_size=300, sources=("web",)),
            sources={"web": Source(path="web.jsonl")},
            problems={},
            midtrain=(
                Midtrain(name="base", mixture={"web": 1.0}, schedule=Schedule(kind="constant", lr=1e-3), **stage),
                Midtrain(name="short", parent="base", mixture={"web": 1.0}, schedule=Schedule(kind="linear"), **stage),
            ),
            eval=Eval(problems=()),
        )

    def broken():
        return 3
""")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"mine_{tmp_path.name}"  # each test's own module
    (tmp_path / f"{name}.py").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return f"{name}.py:experiment"


# ---- run --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake_stages")
def test_a_run_a_rerun_and_a_changed_field(octo: Octo, recipe: str, tmp_path: Path) -> None:
    ended = octo("run", recipe, "--out", "out")
    assert ended.code == 0, ended.err
    assert "done   midtrain.short.s0 in" in ended.out
    stages = [row["name"] for row in json.loads((tmp_path / "out/plan.json").read_text())]
    assert stages == ["tokenizer", "shards.web", "midtrain.base.s0", "midtrain.short.s0"]
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["argv"][1:] == ["run", recipe, "--out", "out"]
    assert record["seconds"] > 0
    assert "start " not in octo("run", recipe, "--out", "out").out, "all of it was there"
    again = octo("run", "out/experiment.json", "--set", "midtrain.short.tokens=320")  # into the folder it lies in
    assert re.findall(r"start +(\S+)", again.out) == ["midtrain.short.s0"]
    assert len(list((tmp_path / "out/stages").glob("midtrain.short.s0-*"))) == 2


@pytest.mark.usefixtures("fake_stages")
def test_only_and_seeds(octo: Octo, recipe: str, tmp_path: Path) -> None:
    ended = octo("run", recipe, "--out", "out", "--seeds", "3,4", "--only", "midtrain.base.s4")
    assert ended.code == 0
    assert re.findall(r"start +(\S+)", ended.out) == ["tokenizer", "shards.web", "midtrain.base.s4"]
    assert len(json.loads((tmp_path / "out/plan.json").read_text())) == 6, "the plan is the whole experiment's"
    assert octo("run", recipe, "--seeds", "a").code == 2


@pytest.mark.usefixtures("fake_stages")
def test_a_failure_shows_its_reason_its_log_and_how_to_go_on(octo: Octo, recipe: str) -> None:
    ended = octo("run", recipe, "--out", "out", "--set", "midtrain.base.max_bad_steps=13")
    assert ended.code == 1
    assert "midtrain.base.s0 failed: RuntimeError: [red]loss[/red] is not finite" in ended.out
    assert 'raise RuntimeError("[red]loss[/red] is not finite")' in ended.out, "the end of the log"
    assert "Not started, they need what failed: midtrain.short.s0" in ended.out
    assert "octo run out/experiment.json" in ended.out
    status = octo("status", "out")
    assert status.code == 1
    assert re.search(r"midtrain\.base\.s0 +failed +RuntimeError: \[red\]loss", status.out)
    assert re.search(r"tokenizer +done", status.out)
    assert re.search(r"midtrain\.short\.s0 +waiting", status.out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nanoo"], "did you mean 'nano'"),
        (["run", "nowhere.py:experiment"], "nowhere.py: no such file"),
        (["run", "nowhere.json"], "nowhere.json: no such file"),
        (["run", "no.such.module:f"], "no module of that name"),
        (
            ["run", "{recipe}", "--set", "midtrain.short.tokenz=3"],
            "midtrain[1].tokenz: unknown key; did you mean 'tokens'",
        ),
        (["run", "{recipe}", "--set", "midtrain.shrt.tokens=3"], "did you mean 'short'"),
        (["run", "{recipe}", "--set", 'midtrain.base.mixture={"web": 0.5}'], "shares sum to 0.5, not 1"),
        (["run", "{recipe}", "--set", "midtrain.short.parent=basis"], "is not an earlier stage; did you mean 'base'"),
        (
            ["run", "{recipe}", "--set", 'midtrain.base.mixture={"wob": 1.0}'],
            "'wob' does not exist; did you mean 'web'",
        ),
        (["run", "{broken}"], "returned int, not an Experiment"),
        (["run", "{missing}"], "has no 'experimnt'; did you mean 'experiment'"),
        (["status", "."], "is no run folder"),
        (["report", "."], "is no run folder"),
        (["import", "smollm3", "x"], "did you mean 'smollm2'"),
        (["rl", "no-such-model", "--problems", "p.jsonl", "--steps", "1", "--out", "o"], "no such folder"),
        (["eval", "m", "--benchmarks", "gsm9k", "--data", ".", "--out", "o"], "did you mean 'gsm8k'"),
        (["midtrain", "m", "--data", "a.jsonl:-1", "--tokens", "9", "--out", "o"], "the weight must be above 0"),
    ],
)
def test_bad_input_is_one_line_and_code_2(octo: Octo, recipe: str, arguments: list[str], message: str) -> None:
    file = recipe.partition(":")[0]
    names = {"{recipe}": recipe, "{broken}": f"{file}:broken", "{missing}": f"{file}:experimnt"}
    ended = octo(*[names.get(a, a) for a in arguments])
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.out + ended.err


def test_a_real_source_that_is_not_there_is_named_before_anything_runs(octo: Octo, recipe: str, tmp_path: Path) -> None:
    ended = octo("run", recipe, "--out", "out")
    assert ended.code == 2
    assert "sources.web: no file matches 'web.jsonl'" in ended.err
    assert not (tmp_path / "out").exists()


# ---- plan, recipes, help ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake_stages")
def test_plan_runs_nothing_and_says_what_is_stale(octo: Octo, recipe: str, tmp_path: Path) -> None:
    ended = octo("plan", recipe, "--out", "out", "--tflops", "1")
    assert ended.code == 0
    assert not (tmp_path / "out").exists()
    assert "0 of 4 stages cached" in ended.out
    octo("run", recipe, "--out", "out")
    ended = octo("plan", recipe, "--out", "out", "--tflops", "1", "--set", "midtrain.short.tokens=320")
    assert "3 of 4 stages cached" in ended.out
    assert "stage.tokens: 160 -> 320" in ended.out
    assert re.search(r"midtrain\.base\.s0 +cached +160 tokens +10 steps", ended.out)


def test_every_command_s_help_shows_an_example(octo: Octo) -> None:
    names = re.findall(r"│ (\w+) ", octo("--help").out)
    commands = [n for n in names if n not in ("RECIPE",)]
    assert {"run", "plan", "status", "report", "recipes", "midtrain", "rl", "eval", "import", "chat"} <= set(commands)
    for name in ["run", "plan", "status", "report", "recipes", "midtrain", "rl", "eval", "import", "chat"]:
        assert f"octo {name}" in octo(name, "--help").out.partition("Usage:")[2].partition("\n")[2], name


def test_the_command_line_starts_without_torch() -> None:
    """Guards: `octo --help` and completion that take seconds."""
    code = "import sys, octothinker.cli.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- what is shown ----------------------------------------------------------------------------------------------------


def test_numbers_by_hand() -> None:
    assert [duration(s) for s in (None, 42.4, 187, 7509, 3 * 86400)] == ["?", "42 s", "3:07", "2:05:09", "3 days"]
    assert [amount(x) for x in (None, 7, 999, 1_650_000, 999_600, 74.2e9, 0.5)] == [
        "?",
        "7",
        "999",
        "1.65M",
        "1M",
        "74.2B",
        "0.5",
    ]
    assert [size(b) for b in (12, 5_000, 42.3e9)] == ["12 B", "5 KB", "42.3 GB"]


def test_the_live_table_shows_what_a_stage_says_of_itself(tmp_path: Path) -> None:
    from octothinker.cli.live import Live
    from octothinker.stage import Stage

    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    live = Live(console)
    stage = Stage(name="midtrain.long.s0", kind="midtrain", fn="f:f", config=None)
    live.started(stage, tmp_path)
    assert "starting" in _text(live, console)
    state = {"done": 500, "total": 2000, "unit": "tokens", "rate": 25_100.0, "eta_seconds": 60.0}
    write_json(tmp_path / "progress.json", {**state, "info": {"loss": 2.3456, "phase": "[update]"}})
    text = _text(live, console)
    for part in ("midtrain.long.s0", "25%", "25.1k tokens/s", "loss 2.346", "phase [update]", "1:00 left", "1 running"):
        assert part in text
    live.finished(stage, 61.0, None)
    assert "1 done, 0 running" in _text(live, console)
    live.close()
    assert re.search(r"✓ midtrain\.long\.s0 +1:01 +loss 2\.346", console.file.getvalue())  # type: ignore[attr-defined]


def _text(live: Any, console: Console) -> str:
    with console.capture() as captured:
        console.print(live.render())
    return captured.get()


def test_plain_lines_come_rarely(tmp_path: Path) -> None:
    from octothinker.cli.live import Plain
    from octothinker.stage import Stage

    console = Console(file=io.StringIO(), width=160)
    plain = Plain(console)
    stage = Stage(name="rl.long.s0", kind="rl", fn="f:f", config=None)
    plain.started(stage, tmp_path)
    state = {"done": 5, "total": 20, "unit": "steps", "rate": 0.5, "eta_seconds": 30.0, "info": {"reward": 0.25}}
    write_json(tmp_path / "progress.json", state)
    for _ in range(100):
        plain.tick()
    assert console.file.getvalue().count("\n") == 1  # type: ignore[attr-defined]
    plain.said -= 61
    plain.tick()
    assert "rl.long.s0 25%  0.5 steps/s  reward 0.25  30 s left" in console.file.getvalue()  # type: ignore[attr-defined]


# ---- single stages ----------------------------------------------------------------------------------------------------


def test_data_arguments_become_sources_and_shares() -> None:
    from octothinker.cli.single import _sources

    sources, shares = _sources(["a/web.jsonl:3", "b/qa.jsonl.zst", "c/web.jsonl"], "{text}")
    assert {name: vars(s)["path"] for name, s in sources.items()} == {
        "web": "a/web.jsonl",
        "qa": "b/qa.jsonl.zst",
        "web_": "c/web.jsonl",
    }
    assert shares == {"web": 0.6, "qa": 0.2, "web_": 0.2}
    hub = "hf://datasets/o/n@main/data/*.parquet"
    assert vars(_sources([hub], "{text}")[0]["*"])["path"] == hub
