"""Stored rollouts under the present grader: which verdicts, rewards and advantages would be others now?

stages/rl*/rollouts/step-*.jsonl.zst -> groups -> grade again -> rewards, advantages -> what differs
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octothinker.config import RL
from octothinker.data.files import Position, Row, read
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import Item, Verdict
from octothinker.records import read_json
from octothinker.rl.advantage import advantages
from octothinker.rl.loop import RLRun
from octothinker.rl.rollout import rewards
from octothinker.typed import ConfigError, check, from_json

NEEDED = ("step", "id", "gold", "sample", "response", "finish", "reward", "advantage", "kind", "extracted")


@dataclass
class Regraded:
    """What became of one RL stage's rollouts."""

    stage: str
    steps: int = 0
    responses: int = 0
    timeouts: int = 0
    """Of the present grading: rewarded as wrong."""
    up: int = 0
    """Rewards that are higher now (also: graded now, and not then)."""
    down: int = 0
    advantages: int = 0
    """Responses whose advantage differs by more than 1e-6; one flip changes its whole group."""
    groups: int = 0
    flips: list[dict[str, Any]] = field(default_factory=list)
    """Responses whose reward differs."""


def regrade(run: Path, grader: Grader) -> Iterator[Regraded]:
    """One result for each RL stage of the run folder, or for the one stage that `run` is. ConfigError where there is none."""
    folders = [run] if (run / "rollouts").is_dir() else sorted(p.parent for p in run.glob("stages/rl*/rollouts"))
    check(bool(folders), f"{run}: no rollouts there; they lie in stages/rl*/rollouts of a run folder")
    for folder in folders:
        config = _config(folder)
        result = Regraded(folder.name)
        steps = set()
        files = sorted((folder / "rollouts").glob("step-*.jsonl.zst"))
        check(bool(files), f"{folder / 'rollouts'}: holds no step-*.jsonl.zst")
        for file in files:
            for group in _groups(file):
                steps.add(group[0].fields["step"])
                _regrade_group(group, config, grader, result)
        result.steps = len(steps)
        yield result


def _config(folder: Path) -> RL:
    file = next((folder / name for name in ("manifest.json", "stage.json") if (folder / name).is_file()), None)
    if file is None:
        raise ConfigError(f"{folder}: neither manifest.json nor stage.json, so what a reward was is not known")
    config = read_json(file)["config"]
    config.pop("grader", None)  # whichever it was
    return from_json(RLRun, config, file.name).rl


def _groups(file: Path) -> Iterator[list[Row]]:
    """Responses to one prompt stand together, numbered from 0."""
    group: list[Row] = []
    for row in read(file, Position()):
        missing = [name for name in NEEDED if name not in row.fields]
        check(not missing, f"{row.where}: no field {missing[0] if missing else ''!r}")
        if group and row.fields["sample"] == 0:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _regrade_group(group: list[Row], config: RL, grader: Grader, result: Regraded) -> None:
    rows = [row.fields for row in group]
    verdicts = grader.grade([Item(r["response"], r["gold"], truncated=r["finish"] == "length") for r in rows])
    now = rewards(verdicts, [r["finish"] for r in rows], config)
    values = advantages(now, config.advantage)
    changed = sum(abs(value - row["advantage"]) > 1e-6 for value, row in zip(values, rows, strict=True))
    result.responses += len(rows)
    result.advantages += changed
    result.groups += changed > 0
    for row, verdict, reward, value in zip(rows, verdicts, now, values, strict=True):
        result.timeouts += verdict.kind == "timeout"
        if reward != row["reward"]:
            higher = reward is not None and (row["reward"] is None or reward > row["reward"])
            result.up, result.down = result.up + higher, result.down + (not higher)
            result.flips.append(_flip(result.stage, row, verdict, reward, value))


def _flip(stage: str, row: dict[str, Any], verdict: Verdict, reward: float | None, advantage: float) -> dict[str, Any]:
    then = {name: row[name] for name in ("reward", "advantage", "kind", "extracted")}
    now = {"reward": reward, "advantage": advantage, "kind": verdict.kind, "extracted": verdict.extracted}
    place = {name: row[name] for name in ("step", "id", "sample", "gold")}
    return {"stage": stage, **place, "then": then, "now": {**now, "how": verdict.how}}
