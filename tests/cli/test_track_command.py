"""`octo track`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octothinker.records import write_json

Octo = Callable[..., Any]


def test_track_says_what_it_sent_and_what_is_wrong(octo: Octo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {"name": "rl.a.s0", "kind": "rl", "key": "0" * 16, "folder": f"stages/rl.a.s0-{'0' * 16}"}
    folder = tmp_path / f"{stage['folder']}.tmp"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 0, "reward": 0.5}\n{"step": 1, "reward": 0.75}\n')
    write_json(folder / "stage.json", {"config": {"steps": 2}})
    ended = octo("track", str(tmp_path), "--to", "tensorboard")
    assert (ended.code, ended.err[:6]) == (2, "error:"), "no run folder yet"
    write_json(tmp_path / "plan.json", [stage | {"inputs": {}, "seed": 0, "init": "a"}])
    ended = octo("track", str(tmp_path), "--to", "tensorboard")
    assert (ended.code, ended.out) == (0, "2 new rows sent to tensorboard.\n")
    assert list((tmp_path / "track/tensorboard/rl.a.s0").glob("events.*"))
    assert octo("track", str(tmp_path), "--to", "tensorboard").out == "0 new rows sent to tensorboard.\n"
    assert octo("track", str(tmp_path), "--to", "mlflow").code == 2
    monkeypatch.setitem(sys.modules, "trackio", None)
    ended = octo("track", str(tmp_path), "--to", "trackio")
    assert ended.code == 2
    assert "pip install trackio" in ended.err
    assert "octo track runs/nano --to" in octo("track", "--help").out
