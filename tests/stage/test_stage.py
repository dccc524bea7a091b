"""One stage: what its key is made of, and that its folder is whole or not there."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from octothinker import config as configs
from octothinker.config import RL, Eval, LengthSchedule, Midtrain, ModelConfig, Problems, RopeScaling, Schedule, Source
from octothinker.data.stages import ProblemsRun, ShardsRun, TokenizerRun
from octothinker.rl.loop import RLRun
from octothinker.stage import EXIT_BUSY, Stage, execute, external, locked, main, running, source_hash
from octothinker.train.loop import MidtrainRun
from octothinker.typed import ConfigError


def stage(name: str = "a", inputs: dict[str, Any] | None = None, fn: str = "fakes:work", **settings: Any) -> Stage:
    from fakes import Work

    return Stage(name=name, kind="fake", fn=fn, config=Work(**settings), inputs=inputs or {})


# ---- keys -------------------------------------------------------------------------------------------------------------


def test_key_has_function_version_config_and_inputs_but_neither_name_nor_place() -> None:
    one = stage(value=1)
    assert one.key == stage("another name", value=1).key
    assert one.key == stage(value=1, where="/somewhere/else").key
    assert one.key != stage(value=2).key
    assert one.key != stage(value=1, fn="fakes:alone").key
    assert one.key != dataclasses.replace(one, kind="other").key
    with_input = stage(inputs={"x": one})
    assert with_input.key != stage(inputs={"y": one}).key
    assert with_input.key != stage(inputs={"x": stage(value=2)}).key
    assert with_input.key == stage(inputs={"x": stage("b", value=1)}).key


def test_a_raised_version_is_another_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    import fakes

    before = stage(value=1)
    assert before.version == 3
    old = before.key
    monkeypatch.setattr(fakes.work, "version", 4)
    assert stage(value=1).key != old


MODEL = ModelConfig(
    vocab_size=300,
    hidden_size=8,
    intermediate_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=4,
    rope_scaling=RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position=64),
)
MIDTRAIN = Midtrain(
    name="stable",
    parent="base",
    fork_step=3,
    fork_tokens=None,
    mixture={"web": 0.5, "qa": 0.5},
    tokens=4096,
    seq_len=16,
    batch_size=4,
    schedule=Schedule(kind="cosine", lr=1e-3),
)
RUNS: list[Any] = [
    MidtrainRun(stage=MIDTRAIN, lr=1e-3, model=MODEL, fork_step=3, seed=0),
    RLRun(rl=RL(problems="p", steps=3, length=LengthSchedule(limits=((0, 8), (2, 16)))), seed=0),
    TokenizerRun(sources={"web": Source(path="a")}, content=({"files": {"a": "1"}},), vocab_size=300, max_documents=9),
    ShardsRun(source=Source(path="a"), content={"files": {"a": "1"}, "template": "{text}"}),
    ProblemsRun(problems=Problems(path="a"), content={"files": {"a": "1"}}),
    Eval(problems=("p",), limit=3),
]


def other(value: Any) -> Any:
    """A value unlike `value`, of its kind where it has one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, "x")
    if isinstance(value, dict):
        return {**value, "x": 1}
    assert value is None or dataclasses.is_dataclass(value)
    return "x" if value is None else None


def variants(config: Any, counts: bool = True) -> list[tuple[str, bool, Any]]:
    """(field's path, whether it is part of the identity, config with that one field changed), nested ones too."""
    found = []
    for f in dataclasses.fields(config):
        part = counts and f.metadata.get("identity", True)
        value = getattr(config, f.name)
        changed: list[tuple[str, bool, Any]] = [("", part, other(value))]
        if dataclasses.is_dataclass(value):
            changed += [(f".{path}", yes, v) for path, yes, v in variants(value, part)]
        for path, yes, v in changed:
            copy = object.__new__(type(config))  # not `replace`: a change on its own may be no valid config
            copy.__dict__.update({**vars(config), f.name: v})
            found.append((f"{f.name}{path}", yes, copy))
    return found


@pytest.mark.parametrize("config", RUNS, ids=lambda config: type(config).__name__)
def test_every_field_changes_the_key_unless_it_opted_out(config: Any) -> None:
    """Guards: a parameter left out of the key by accident gives yesterday's result for today's recipe."""
    key = Stage(name="a", kind="fake", fn="fakes:alone", config=config).key
    checked = variants(config)
    assert len(checked) >= len(dataclasses.fields(config))
    for path, part, changed in checked:
        same = Stage(name="a", kind="fake", fn="fakes:alone", config=changed).key == key
        assert same != part, (
            f"{path}: {'is not in the key' if same else 'is in the key though it is marked not_identity'}"
        )


def types_in(value: Any) -> set[str]:
    parts = value.values() if isinstance(value, dict) else vars(value).values() if hasattr(value, "__dict__") else ()
    return {type(value).__name__} | {name for part in parts for name in types_in(part)}


def test_the_check_above_reaches_every_config_of_a_stage() -> None:
    """Not vacuous: each dataclass of config.py that a stage's config can hold is in it, with its fields."""
    known = {n for n, v in vars(configs).items() if dataclasses.is_dataclass(v) and v.__module__ == configs.__name__}
    not_in_a_stage = {"Experiment", "StartModel", "TokenizerConfig"}  # resolved into stages by graph.py
    assert known - not_in_a_stage <= {name for run in RUNS for name in types_in(run)}
    paths = {f"{type(run).__name__}.{path}" for run in RUNS for path, _, _ in variants(run)}
    assert {"MidtrainRun.model.rope_scaling.factor", "RLRun.rl.length.limits", "RLRun.rl.optimizer.beta2"} <= paths


# ---- models from outside --------------------------------------------------------------------------------------------


def hf_folder(folder: Path, weights: bytes = b"w" * 64) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_an_external_model_counts_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    one = external(str(hf_folder(tmp_path / "one")))
    moved = external(str(hf_folder(tmp_path / "two")))
    assert one.key == moved.key
    assert one.key != external(str(hf_folder(tmp_path / "three", b"v" * 64))).key
    (tmp_path / "two" / "config.json").write_text('{"rope_theta": 1}')
    assert external(str(tmp_path / "two")).key != one.key


def test_checksums_are_remembered_and_forgotten_when_a_file_changes(tmp_path: Path) -> None:
    folder, cache = hf_folder(tmp_path / "m"), tmp_path / "cache.json"
    key = external(str(folder), cache).key
    slots = json.loads(cache.read_text())
    assert len(slots) == 3
    weights = next(slot for slot in slots if "safetensors" in slot)
    cache.write_text(json.dumps({**slots, weights: "0" * 64}))
    assert external(str(folder), cache).key != key  # it was read from the cache
    (folder / "model.safetensors").write_bytes(b"x" * 65)
    assert external(str(folder), cache).key != key
    (folder / "model.safetensors").write_bytes(b"w" * 64)
    assert external(str(folder), cache).key == key


def test_hub_models_count_by_name_and_nothing_else_passes(tmp_path: Path) -> None:
    assert external("owner/name@main").key != external("owner/name").key
    with pytest.raises(ConfigError, match="no such folder"):
        external("smollm2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        external(str(tmp_path / "empty"))


def test_the_folder_of_a_stage_is_taken_as_its_model(tmp_path: Path) -> None:
    (tmp_path / "rl.long.s0-1").mkdir()
    inner = hf_folder(tmp_path / "rl.long.s0-1" / "model")
    assert external(str(tmp_path / "rl.long.s0-1")).ref == str(inner)


# ---- running ----------------------------------------------------------------------------------------------------------


def test_a_finished_stage_is_one_renamed_folder_with_its_manifest(tmp_path: Path) -> None:
    one = stage(value=2)
    execute(one.prepare(tmp_path))
    two = stage("b", inputs={"x": one}, value=5)
    manifest = execute(two.prepare(tmp_path))
    assert manifest["result"] == {"value": 7}
    on_disk = json.loads((two.folder(tmp_path) / "manifest.json").read_text())
    assert on_disk == manifest
    assert on_disk["inputs"] == {"x": one.key}
    assert on_disk["version"] == 3
    assert on_disk["config"] == {"value": 5, "seconds": 0.0, "action": "add", "where": ""}
    assert on_disk["code"] == source_hash("fakes:work")
    assert {"python", "torch", "cpu", "platform", "threads"} <= set(on_disk["environment"])
    assert str(tmp_path) not in json.dumps(on_disk), "a manifest names no place"
    assert not two.tmp(tmp_path).exists()
    assert [f.name for f in two.folder(tmp_path).iterdir()] == ["manifest.json"]


def test_a_failure_leaves_its_reason_and_no_finished_folder(tmp_path: Path) -> None:
    bad = stage(action="raise")
    with pytest.raises(RuntimeError):
        execute(bad.prepare(tmp_path))
    text = (bad.tmp(tmp_path) / "error.txt").read_text()
    assert text.split("\n")[0] == "RuntimeError: the sky fell"
    assert "Traceback" in text
    assert not bad.done(tmp_path)
    assert main([str(stage(action="bad").prepare(tmp_path))]) == 2


def test_the_temporary_folder_outlives_a_kill_and_the_next_run_goes_on(tmp_path: Path) -> None:
    half = stage(action="resume")
    command = [sys.executable, "-m", "octothinker.stage", str(half.prepare(tmp_path))]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (half.tmp(tmp_path) / "half.txt").exists()
    assert not running(half.tmp(tmp_path)), "the kernel frees a dead process's lock"
    half.prepare(tmp_path)
    assert subprocess.run(command, check=False).returncode == 0
    assert json.loads((half.folder(tmp_path) / "manifest.json").read_text())["result"]["resumed"] is True


def test_two_processes_cannot_run_one_stage(tmp_path: Path) -> None:
    one = stage()
    command = [sys.executable, "-m", "octothinker.stage", str(one.prepare(tmp_path))]
    with locked(one.tmp(tmp_path)):
        assert running(one.tmp(tmp_path))
        other = subprocess.run(command, check=False, capture_output=True, text=True)
        assert other.returncode == EXIT_BUSY
        assert "run by another process" in other.stderr
        assert not (one.tmp(tmp_path) / "error.txt").exists()
    assert not running(one.tmp(tmp_path))
    assert subprocess.run(command, check=False).returncode == 0


def test_a_stage_that_another_process_has_finished_meanwhile_is_taken_as_it_is(tmp_path: Path) -> None:
    one = stage(value=4)
    file = one.prepare(tmp_path)
    saved = tmp_path / "saved"
    shutil.copytree(one.tmp(tmp_path), saved)
    execute(file)
    shutil.copytree(saved, one.tmp(tmp_path))  # we had made our folder before the other renamed its own
    (one.folder(tmp_path) / "mark").write_text("the first one's")
    assert execute(file)["result"] == {"value": 4}
    assert (one.folder(tmp_path) / "mark").exists()


def test_a_stage_ends_with_its_parent_and_takes_its_helpers_along(tmp_path: Path) -> None:
    """Guards: orphans that train on after their run was killed, on the cores of the next one."""
    from fakes import alive, wait_until

    sleeper = stage(action="sleep")
    file = sleeper.prepare(tmp_path)
    code = (
        "import subprocess, sys, os, time; "
        "subprocess.Popen([sys.executable, '-m', 'octothinker.stage', sys.argv[1]], stdin=subprocess.PIPE, "
        "env={**os.environ, 'OCTO_STAGE_CHILD': '1'}, start_new_session=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(file)])
    pids = sleeper.tmp(tmp_path) / "pids.txt"
    wait_until(pids.exists)
    found = [int(pid) for pid in pids.read_text().split()]
    assert all(alive(pid) for pid in found)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(alive(pid) for pid in found))
