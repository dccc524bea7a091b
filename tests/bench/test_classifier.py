"""`octo bench classifier` on a made-up web, and what it says of pages that it cannot use."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("datatrove")
pytest.importorskip("fasttext")

from octothinker.bench.classifier import compare, labelled
from octothinker.cli.app import app
from octothinker.typed import ConfigError
from tests.corpus.test_classify import SMALL, made_up_web


def write(folder: Path) -> tuple[Path, Path]:
    rows = [{"url": row["metadata"]["url"], "text": row["text"]} for row in made_up_web()]
    names = [
        {"url": r["url"], "label": "math" if (i % 2) ^ (i in (4, 11)) else "other", "source": f"s{i % 12}"}
        for i, r in enumerate(rows)
    ]
    for name, content in (("pages", rows), ("labels", names)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder / "pages.jsonl", folder / "labels.jsonl"


def test_rows_of_the_bench(tmp_path: Path) -> None:
    rows = compare(*write(tmp_path), SMALL, lambda text: None)
    assert [(row["preparation"], row["split"]) for row in rows] == [
        *((name, "by site") for name in ("symbols, sublinear tf", "symbols", "paper, sublinear tf", "paper")),
        ("symbols, sublinear tf", "by page"),
    ]
    low, high = rows[0]["f1_interval"]
    assert low < rows[0]["held_out"]["f1"] < 1.0 and low < high and "f1_interval" not in rows[-1]
    assert rows[0]["reach"] == 0.975 and rows[1]["reach"] is None
    assert rows[0]["documents"] == 60 and len(rows[0]["sites"]) == 12 and rows[0]["held_out"]["f1"] > 0.9


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octothinker.corpus.classify.Classifier", lambda choose: replace(SMALL, choose=choose))
    pages, labels = write(tmp_path)
    found = CliRunner().invoke(app, ["bench", "classifier", "--pages", str(pages), "--labels", str(labels)])
    assert found.exit_code == 0, found.output
    assert "by site" in found.output and "0.975" in found.output and "that threshold: " in found.output
    assert re.search(r"symbols, sublinear tf +by site +0\.\d{3} +0\.\d{3} to [01]\.\d{3} +0\.975", found.output)
    with pytest.raises(ConfigError, match="name the pages with --pages"):
        CliRunner().invoke(app, ["bench", "classifier"], catch_exceptions=False)


def test_pages_without_labels(tmp_path: Path) -> None:
    pages, _ = write(tmp_path)
    with pytest.raises(ConfigError, match="pages with labels of two sites or more are needed; 0 have one"):
        labelled(pages, None)
