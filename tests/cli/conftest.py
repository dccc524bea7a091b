from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

FAKES = str(Path(__file__).parents[1] / "stage")


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def octo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call `octo ARGUMENTS` in this process, as its entry point does."""
    from octothinker.cli.app import main

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["octo", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    return call


@pytest.fixture
def fake_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage is `fakes:alone`, here and in the stages' processes; data and evaluation need no files."""
    from octothinker import graph

    monkeypatch.syspath_prepend(FAKES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([FAKES, os.environ.get("PYTHONPATH", "")]))
    fakes = {"tokenizer": "DataRun", "shards": "DataRun", "problems": "DataRun", "eval": "EvalRun", "midtrain": "Train"}
    monkeypatch.setattr(graph, "FUNCTIONS", dict.fromkeys(graph.FUNCTIONS, "fakes:alone"))
    monkeypatch.setattr(graph, "CONFIGS", graph.CONFIGS | {kind: f"fakes:{name}" for kind, name in fakes.items()})
