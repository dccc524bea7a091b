"""Send a run's metrics to TensorBoard, Weights & Biases or Trackio: from its files, beside the run, harming none.

    OUT/plan.json -> stages -> metrics.jsonl, rows after the last step sent -> a tracker's run for each stage
                                                                            -> OUT/track/<tracker>/sent.json

Steps that a resumed stage writes again are not sent again. Without OUT/track/<tracker> everything is sent anew.
"""

from __future__ import annotations

import contextvars
import fcntl
import importlib
import json
import time
from pathlib import Path
from typing import Any, Literal

from octothinker.records import read_json, write_json
from octothinker.report.collect import StageView, stages
from octothinker.typed import ConfigError

Tracker = Literal["tensorboard", "wandb", "trackio"]
PASS_SECONDS = 10.0
QUIET_SECONDS = 600.0  # steps may be slow; a run that has written nothing for so long has ended


def publish(folder: Path, to: Tracker, project: str = "", watch: bool = False) -> int:
    """Send what was not sent yet; with `watch`, go on until the experiment ends. Returns the number of rows sent.

    `project` is what W&B and Trackio file the runs under: the run folder's name by default. Their environment variables
    (WANDB_MODE, WANDB_DIR, TRACKIO_SPACE_ID) count. ConfigError: no such package, W&B refuses, sent by another just now.
    """
    try:
        module = importlib.import_module("torch.utils.tensorboard" if to == "tensorboard" else to)
    except ImportError as error:
        raise ConfigError(f"{to} is not installed ({error}): pip install {to}") from None
    about = {"project": project or folder.resolve().name, "group": folder.resolve().name}
    home, runs, count = folder / "track" / to, dict[str, Any](), 0
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{home}: another `octo track` is sending this run") from None
        try:
            while True:
                views = stages(folder)
                more = watch and _goes_on(folder, views)  # asked first: what was written before the end is sent
                count += sum(_send(view, to, module, home, about, runs) for view in views)
                if not more:
                    return count
                time.sleep(PASS_SECONDS)
        finally:
            for run in runs.values():
                run.finish()


def _goes_on(folder: Path, views: tuple[StageView, ...]) -> bool:
    try:
        files = [*folder.glob("*.json"), *(file for view in views for file in view.folder.glob("*"))]
        quiet = time.time() - max((file.stat().st_mtime for file in files), default=0.0)
    except FileNotFoundError:  # something was renamed this moment
        return True
    return quiet < QUIET_SECONDS and any(view.state != "done" for view in views)


def _send(view: StageView, to: Tracker, module: Any, home: Path, about: dict[str, str], runs: dict[str, Any]) -> int:
    """Send a stage's new rows, and say how many; its tracker's run stays open in `runs` as long as it may write more."""
    sent = read_json(home / "sent.json") if (home / "sent.json").exists() else {}
    taken = any(other["name"] == view.name for other in sent.values())  # by the stage as it was before a change
    name = f"{view.name}-{view.key}" if taken else view.name
    entry = sent.setdefault(view.key, {"name": name, "id": f"{view.key}-{time.time_ns():x}", "step": -1})
    try:
        rows = [row for row in view.metrics if row["step"] > entry["step"]]
        config = (view.manifest or read_json(view.folder / "stage.json"))["config"] if rows else {}
    except FileNotFoundError:  # it ended, and was renamed this moment
        return 0
    if rows and view.key not in runs:
        runs[view.key] = _open(to, module, home, entry, {**about, "name": entry["name"], "config": config})
    for row in rows:
        runs[view.key].log({k: v for k, v in row.items() if type(v) in (int, float) and k != "step"}, step=row["step"])
        entry["step"] = row["step"]
    if rows:
        write_json(home / "sent.json", sent)
    if view.state in ("done", "failed") and view.key in runs:
        runs.pop(view.key).finish()
    return len(rows)


class _Board:
    """A TensorBoard writer, spoken to like a run of the other two."""

    def __init__(self, writer: Any) -> None:
        self.writer, self.finish = writer, writer.close

    def log(self, numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()


def _open(to: Tracker, module: Any, home: Path, entry: dict[str, Any], about: dict[str, Any]) -> Any:
    """A stage's run, new or gone on with: `.log(numbers, step=)`, `.finish()`. Several are open side by side."""
    first = entry["step"] < 0
    if to == "tensorboard":
        writer = module.SummaryWriter(str(home / entry["name"]))
        if first:
            writer.add_text("config", f"```json\n{json.dumps(about['config'], indent=1)}\n```", 0)
        return _Board(writer)
    if to == "trackio":  # its init ends the open run of the same context; the load of this process is not the stage's
        about |= {"resume": "never" if first else "allow", "embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        return contextvars.Context().run(lambda: module.init(**about))
    about |= {"id": entry["id"], "resume": "allow", "reinit": "create_new"}
    try:
        return module.init(**about, settings={"console": "off", "x_disable_stats": True})
    except module.Error as error:
        raise ConfigError(f"wandb: {error} (without an account or a network: WANDB_MODE=offline)") from error
