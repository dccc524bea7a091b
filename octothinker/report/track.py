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
import os
import time
import uuid
from pathlib import Path
from typing import Any, Literal

from octothinker.records import read_json, write_json
from octothinker.report.collect import StageView, stages
from octothinker.typed import ConfigError

PASS_SECONDS = 10.0
QUIET_SECONDS = 600.0  # steps may be slow; a run that has written nothing for so long has ended


def publish(
    folder: Path, to: Literal["tensorboard", "wandb", "trackio"], project: str = "", watch: bool = False
) -> dict[str, int]:
    """Send what was not sent yet; with `watch`, go on until the experiment ends. Returns the rows sent of each stage.

    `project` is what W&B and Trackio file the runs under: the run folder's name by default. Their environment variables
    (WANDB_MODE, WANDB_ENTITY, TRACKIO_SPACE_ID) count. ConfigError: no such package, W&B refuses, sent by another now.
    """
    try:
        module = importlib.import_module("torch.utils.tensorboard" if to == "tensorboard" else to)
    except ImportError as error:
        raise ConfigError(f"{to} is not installed ({error}): pip install {to}") from None
    home, runs, counts = folder / "track" / to, dict[str, Any](), dict[str, int]()
    about = {"project": project or folder.resolve().name, "group": folder.resolve().name}
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
                for view in views:
                    sent = _send(view, to, module, home, about, runs)
                    counts |= {view.name: counts.get(view.name, 0) + sent} if sent else {}
                if not more:
                    return counts
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


def _send(view: StageView, to: str, module: Any, home: Path, about: dict[str, str], runs: dict[str, Any]) -> int:
    """Send a stage's new rows; its run stays open in `runs` while it may write more. Returns how many rows."""
    sent = read_json(home / "sent.json") if (home / "sent.json").exists() else {}
    taken = any(other["name"] == view.name for other in sent.values())  # by what the stage was before a change
    new = {"name": f"{view.name}-{view.key}" if taken else view.name, "id": uuid.uuid4().hex[:12], "step": -1}
    entry = sent.setdefault(view.key, new)
    try:
        rows = [row for row in view.metrics if row["step"] > entry["step"]]
        config = (view.manifest or read_json(view.folder / "stage.json"))["config"] if rows else {}
    except FileNotFoundError:  # it ended, and was renamed this moment
        return 0
    if rows and view.key not in runs:
        runs[view.key] = _open(to, module, home, entry, {**about, "name": entry["name"], "config": config})
    for row in rows:
        numbers = {k: v for k, v in row.items() if type(v) in (int, float) and k != "step"}
        runs[view.key].log(numbers, step=row["step"])
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


def _open(to: str, module: Any, home: Path, entry: dict[str, Any], about: dict[str, Any]) -> Any:
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
    about |= {"id": entry["id"], "resume": "allow", "dir": os.environ.get("WANDB_DIR", str(home.parent))}
    try:
        return module.init(**about, reinit="create_new", settings={"console": "off", "x_disable_stats": True})
    except module.Error as error:
        raise ConfigError(f"wandb: {error} (without an account or a network: WANDB_MODE=offline)") from error
