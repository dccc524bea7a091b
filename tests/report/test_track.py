"""Metrics on their way to a tracker: TensorBoard's files are read back; W&B and Trackio are played by small modules."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from octothinker.records import read_json, write_json
from octothinker.report import track
from octothinker.report.track import Tracker, publish
from octothinker.typed import ConfigError

CONFIG = {"lr": 0.5, "schedule": {"kind": "constant"}}


class Growing:
    """A run folder whose stages are written bit by bit, as the runner does it."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder, self.keys = folder, {name: f"{number:016x}" for number, name in enumerate(names)}
        folder.mkdir()
        self.write_plan()

    def write_plan(self) -> None:
        write_json(
            self.folder / "plan.json",
            [
                {"name": n, "kind": "rl", "key": k, "folder": f"stages/{n}-{k}", "inputs": {}, "seed": 0, "init": None}
                for n, k in self.keys.items()
            ],
        )

    def tmp(self, name: str) -> Path:
        return self.folder / "stages" / f"{name}-{self.keys[name]}.tmp"

    def write(self, name: str, steps: range, torn: str = "", **columns: Any) -> None:
        """Rows with `loss` = step / 4 and the columns; `torn`: a last line without an end."""
        tmp = self.tmp(name)
        tmp.mkdir(parents=True, exist_ok=True)
        write_json(tmp / "stage.json", {"name": name, "config": CONFIG})
        with open(tmp / "metrics.jsonl", "a") as file:
            file.writelines(json.dumps({"step": step, "loss": step / 4} | columns) + "\n" for step in steps)
            file.write(torn)

    def end(self, name: str) -> None:
        tmp = self.tmp(name)
        tmp.mkdir(parents=True, exist_ok=True)
        (tmp / "stage.json").unlink(missing_ok=True)
        write_json(tmp / "manifest.json", {"name": name, "config": CONFIG, "result": {}})
        tmp.rename(tmp.with_name(tmp.name.removesuffix(".tmp")))


class FakeRun:
    def __init__(self, about: dict[str, Any]) -> None:
        self.about, self.rows, self.open = about, dict[int, dict[str, float]](), True

    def log(self, numbers: dict[str, float], step: int) -> None:
        assert self.open, "logged to a run that was ended"
        assert step not in self.rows, "sent twice"
        self.rows[step] = numbers

    def finish(self) -> None:
        self.open = False


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """W&B's manners: `init` ends every open run unless it is told to make one beside them."""
    fake: Any = ModuleType("wandb")
    fake.runs, fake.Error = [], type("Error", (Exception,), {})

    def init(*, reinit: str = "", **about: Any) -> FakeRun:
        if reinit != "create_new":
            for run in fake.runs:
                run.finish()
        fake.runs.append(FakeRun(about))
        return fake.runs[-1]

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trackio's manners: `init` ends the current run of the context, "allow" goes on with the last run of that name."""
    fake: Any = ModuleType("trackio")
    fake.runs = []
    current: ContextVar[FakeRun | None] = ContextVar("current", default=None)

    def init(*, project: str, name: str, resume: str = "never", **about: Any) -> FakeRun:
        if before := current.get():
            before.finish()
        same = [run for run in fake.runs if run.about["name"] == name and resume == "allow"]
        run = same[-1] if same else FakeRun({"project": project, "name": name} | about)
        run.open = True
        current.set(run)
        if not same:
            fake.runs.append(run)
        return run

    fake.init = init
    monkeypatch.setitem(sys.modules, "trackio", fake)
    return fake


def board(folder: Path) -> tuple[dict[str, list[tuple[int, float]]], str]:
    """What TensorBoard reads there: tag -> (step, value) ..., and the text of `config`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    scalars = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    texts = [e.tensor_proto.string_val[0].decode() for e in read.Tensors("config/text_summary")]
    assert len(texts) == 1, "the config is sent once"
    return scalars, texts[0]


# ---- TensorBoard, for real --------------------------------------------------------------------------------------------


def test_tensorboard_gets_each_number_once_while_the_run_grows(tmp_path: Path) -> None:
    run = Growing(tmp_path / "out", "tokenizer", "rl.long.s0", "rl.short.s0")
    run.end("tokenizer")
    assert publish(run.folder, "tensorboard") == 0
    run.write("rl.long.s0", range(3), torn='{"step": 3, "lo', skipped=None, tokens=7, kind="x", fine=True)
    assert publish(run.folder, "tensorboard") == 3
    home = run.folder / "track" / "tensorboard"
    scalars, text = board(home / "rl.long.s0")
    assert scalars == {"loss": [(0, 0.0), (1, 0.25), (2, 0.5)], "tokens": [(0, 7.0), (1, 7.0), (2, 7.0)]}
    assert json.loads(text.removeprefix("```json\n").removesuffix("\n```")) == CONFIG
    file = run.tmp("rl.long.s0") / "metrics.jsonl"
    file.write_text(file.read_text().rpartition("\n")[0] + "\n")
    run.write("rl.long.s0", range(3, 5))
    run.write("rl.short.s0", range(2))
    run.end("rl.long.s0")
    assert publish(run.folder, "tensorboard") == 4
    assert board(home / "rl.long.s0")[0]["loss"] == [(step, step / 4) for step in range(5)]
    assert board(home / "rl.short.s0")[0] == {"loss": [(0, 0.0), (1, 0.25)]}
    assert publish(run.folder, "tensorboard") == 0
    assert sorted(f.name for f in home.iterdir() if f.is_dir()) == ["rl.long.s0", "rl.short.s0"]


def test_steps_written_again_by_a_resumed_stage_are_not_sent_again(tmp_path: Path) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    run.write("rl.long.s0", range(5))
    publish(run.folder, "tensorboard")
    (run.tmp("rl.long.s0") / "metrics.jsonl").unlink()
    run.write("rl.long.s0", range(4))  # it went back to an earlier checkpoint
    assert publish(run.folder, "tensorboard") == 0
    run.write("rl.long.s0", range(4, 6))
    assert publish(run.folder, "tensorboard") == 1
    assert [step for step, _ in board(run.folder / "track/tensorboard/rl.long.s0")[0]["loss"]] == list(range(6))


def test_a_changed_stage_gets_a_run_of_its_own(tmp_path: Path) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    run.write("rl.long.s0", range(5))
    publish(run.folder, "tensorboard")
    run.keys["rl.long.s0"] = "f" * 16
    run.write_plan()
    run.write("rl.long.s0", range(2))
    assert publish(run.folder, "tensorboard") == 2
    home = run.folder / "track" / "tensorboard"
    assert len(board(home / "rl.long.s0")[0]["loss"]) == 5
    assert len(board(home / f"rl.long.s0-{'f' * 16}")[0]["loss"]) == 2


# ---- W&B and Trackio --------------------------------------------------------------------------------------------------


def test_wandb_goes_on_with_its_run_and_its_environment_decides(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = Growing(tmp_path / "nano", "rl.long.s0", "rl.short.s0")
    run.write("rl.long.s0", range(2))
    run.write("rl.short.s0", range(3))
    assert publish(run.folder, "wandb") == 5
    run.write("rl.long.s0", range(2, 4))
    assert publish(run.folder, "wandb", project="mine") == 2
    first, second, third = wandb.runs
    assert (first.rows[1], list(second.rows), list(third.rows)) == ({"loss": 0.25}, [0, 1, 2], [2, 3])
    assert [r.about["name"] for r in wandb.runs] == ["rl.long.s0", "rl.short.s0", "rl.long.s0"]
    assert first.about["config"] == CONFIG
    assert (first.about["project"], third.about["project"], third.about["group"]) == ("nano", "mine", "nano")
    assert first.about["id"] == third.about["id"] != second.about["id"]
    assert third.about["resume"] == "allow"
    assert not {"mode", "dir", "entity"} & set(first.about), "these are for the environment to say"
    assert not any(r.open for r in wandb.runs)


def test_two_folders_of_one_recipe_are_two_runs(tmp_path: Path, wandb: Any) -> None:
    for name in ("one", "two"):
        run = Growing(tmp_path / name, "rl.long.s0")  # the same key in both
        run.write("rl.long.s0", range(2))
        publish(run.folder, "wandb", project="shared")
    assert wandb.runs[0].about["id"] != wandb.runs[1].about["id"]


def test_what_wandb_says_no_to_is_an_error_with_a_way_out_and_is_sent_later(tmp_path: Path, wandb: Any) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    run.write("rl.long.s0", range(2))
    works = wandb.init

    def refuse(**about: Any) -> None:
        raise wandb.Error("api_key not configured")

    wandb.init = refuse
    with pytest.raises(ConfigError, match=r"api_key not configured.*WANDB_MODE=offline"):
        publish(run.folder, "wandb")
    wandb.init = works
    assert publish(run.folder, "wandb") == 2


def test_trackio_keeps_the_runs_of_stages_side_by_side_apart(
    tmp_path: Path, trackio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Growing(tmp_path / "nano", "rl.long.s0", "rl.short.s0")

    def meanwhile(seconds: float) -> None:
        run.write("rl.long.s0", range(2, 4))
        run.write("rl.short.s0", range(3, 4))
        run.end("rl.long.s0")
        run.end("rl.short.s0")

    monkeypatch.setattr(time, "sleep", meanwhile)
    run.write("rl.long.s0", range(2))
    run.write("rl.short.s0", range(2))
    assert publish(run.folder, "trackio") == 4
    run.write("rl.short.s0", range(2, 3))
    assert publish(run.folder, "trackio", watch=True) == 4
    long, short = trackio.runs
    assert (list(long.rows), list(short.rows)) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert (long.about["project"], long.about["group"], long.about["config"]) == ("nano", "nano", CONFIG)
    assert long.about["auto_log_cpu"] is False, "the load of this process is not the stage's"


# ---- watching ---------------------------------------------------------------------------------------------------------


def test_watching_follows_until_all_is_done_in_one_run_a_stage(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0", "rl.short.s0")
    then: list[Callable[[], Any]] = [
        lambda: run.write("rl.long.s0", range(2)),
        lambda: run.write("rl.short.s0", range(2)),
        lambda: (run.write("rl.long.s0", range(2, 3)), run.end("rl.long.s0")),
        lambda: [run.open for run in wandb.runs] == [False, True] or pytest.fail("an ended stage's run stays open"),
        lambda: (run.write("rl.short.s0", range(2, 9)), run.end("rl.short.s0")),
    ]
    monkeypatch.setattr(time, "sleep", lambda seconds: then.pop(0)())
    assert publish(run.folder, "wandb", watch=True) == 12
    assert then == []
    assert [list(r.rows) for r in wandb.runs] == [[0, 1, 2], list(range(9))]
    assert not any(r.open for r in wandb.runs)


def test_watching_ends_when_a_stopped_run_has_long_been_quiet(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    run.write("rl.long.s0", range(2))
    passes = []

    def meanwhile(seconds: float) -> None:
        passes.append(seconds)
        assert len(passes) < 3
        if len(passes) == 2:
            for file in [*run.folder.glob("*.json"), *run.tmp("rl.long.s0").glob("*")]:
                os.utime(file, (0, time.time() - track.QUIET_SECONDS - 1))

    monkeypatch.setattr(time, "sleep", meanwhile)
    assert publish(run.folder, "wandb", watch=True) == 2
    assert len(passes) == 2


def test_a_file_that_goes_while_it_is_looked_at_is_a_sign_of_life(
    tmp_path: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    run.write("rl.long.s0", range(2))
    gone = run.tmp("rl.long.s0") / "gone"
    gone.symlink_to("nowhere")  # listed, and not there
    passes = []
    monkeypatch.setattr(time, "sleep", lambda _: (passes.append(1), gone.unlink(), run.end("rl.long.s0")))
    assert publish(run.folder, "wandb", watch=True) == 2
    assert len(passes) == 1


def test_a_stage_renamed_under_its_reader_is_sent_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    run.write("rl.long.s0", range(2))
    seen = track.stages(run.folder)
    assert seen[0].metrics, "read before it is renamed"
    run.end("rl.long.s0")
    with monkeypatch.context() as patch:
        patch.setattr(track, "stages", lambda folder: seen)
        assert publish(run.folder, "tensorboard") == 0
    assert publish(run.folder, "tensorboard") == 2


# ---- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["tensorboard", "wandb", "trackio"])
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    tmp_path: Path, to: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if to == "tensorboard" else to, None)
    with pytest.raises(ConfigError, match=rf"pip install {to}$"):
        publish(run.folder, to)


def test_two_at_once_do_not_send_the_same(tmp_path: Path, wandb: Any) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0")
    publish(run.folder, "wandb")
    with open(run.folder / "track/wandb/lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another `octo track`"):
            publish(run.folder, "wandb")
    assert publish(run.folder, "wandb") == 0


def test_a_tracker_that_breaks_loses_nothing_that_was_sent_before(tmp_path: Path, wandb: Any) -> None:
    run = Growing(tmp_path / "out", "rl.long.s0", "rl.short.s0")
    run.write("rl.long.s0", range(2))
    run.write("rl.short.s0", range(2))
    works = wandb.init

    def breaks(**about: Any) -> FakeRun:
        if about["name"] == "rl.short.s0":
            raise RuntimeError("no network")
        return works(**about)

    wandb.init = breaks
    with pytest.raises(RuntimeError):
        publish(run.folder, "wandb")
    assert not wandb.runs[0].open, "its run is closed all the same"
    sent = read_json(run.folder / "track/wandb/sent.json")
    assert [(entry["name"], entry["step"]) for entry in sent.values()] == [("rl.long.s0", 1)]
    wandb.init = works
    assert publish(run.folder, "wandb") == 2
