"""`octo bench corpus --smoke`: every part that needs no data of the user's runs, and keeps its promises in small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import octo

__all__ = ["octo"]


def rows(octo: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    ended = octo("bench", "corpus", *arguments, "--smoke", "--json")
    assert ended.code == 0, ended.err
    return {row["what"]: row["value"] for row in json.loads(ended.out)}


def test_dedup(octo: Callable[..., Any]) -> None:
    pytest.importorskip("rensa")
    found = rows(octo, "dedup")
    assert found["near-duplicates found, Jaccard >= .8"] >= 0.98
    assert found["merges across families"] == 0


def test_decontamination(octo: Callable[..., Any], shared: Path) -> None:
    found = rows(octo, "decontaminate", "--data", str(shared / "bench"))
    assert found["decontamination recall, 0% of words replaced"] > 0.9
    assert found["decontamination recall, 10% of words replaced"] > 0.5
    assert found["clean documents flagged"] <= 0.01


def test_what_needs_data_says_so(octo: Callable[..., Any]) -> None:
    assert set(rows(octo, "decontaminate", "tokenise", "filters").values()) == {"not measured"}
    ended = octo("bench", "corpus", "nosuch")
    assert ended.code == 2 and "there is: dedup" in ended.err
