"""eval-diff: what changed, paired by problem, with a p that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octothinker.insight.diff import chance, diff, protocol_gap
from octothinker.typed import ConfigError


def write(folder: Path, right: dict[str, list[bool | None]], **more: Any) -> Path:
    folder.mkdir()
    rows = [
        {"set": "s", "id": name, "level": "", "question": "q", "gold": "1", "mode": "greedy", "sample": i, "tokens": 3,
         "finish": "stop", "correct": c, "boxed": True, **more}
        for name, verdicts in right.items()
        for i, c in enumerate(verdicts)
    ]  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "results.json").write_text(json.dumps({"protocol": {"template": folder.name, "seed": 0}}))
    return folder


def test_what_changed(tmp_path: Path) -> None:
    a = write(
        tmp_path / "a",
        {**{f"u{i}": [False] for i in range(6)}, "d": [True], "same": [True], "x": [None], "only": [True]},
    )
    b = write(tmp_path / "b", {**{f"u{i}": [True] for i in range(6)}, "d": [False], "same": [True], "x": [True]})
    (change,) = diff(a, b)
    assert (change.n, change.up, change.down) == (8, [f"u{i}" for i in range(6)], ["d"])
    assert (change.a, change.b) == (0.25, 0.875)
    assert change.gap.value == pytest.approx(0.625) and change.gap.low < 0.625 < change.gap.high
    assert change.p == pytest.approx(2 * (1 + 7) / 2**7), "McNemar, exact: 1 of 7 against"
    assert protocol_gap(a, b) == ["template: 'a' and 'b'"]


def test_p_of_shares() -> None:
    assert chance(np.array([0.0, 0.0])) == 1.0
    assert chance(np.array([1.0] * 10)) == pytest.approx(2 / 2**10)
    rng = np.random.default_rng(1)
    assert chance(rng.normal(0, 1, 200)) > 0.01
    assert chance(rng.normal(1, 1, 200)) < 0.001


def test_other_problems_are_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", {"x": [True]}), write(tmp_path / "b", {"x": [True]}, gold="2")
    with pytest.raises(ConfigError, match="problem x has another gold"):
        diff(a, b)
    with pytest.raises(ConfigError, match="no set in common"):
        diff(a, write(tmp_path / "c", {"x": [True]}, set="t"))
    with pytest.raises(ConfigError, match="holds no samples"):
        diff(a, tmp_path)
