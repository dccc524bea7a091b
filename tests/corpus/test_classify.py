"""One preparation for training and use, a split that keeps sites together, and the stages on a small made-up web."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("datatrove")
pytest.importorskip("fasttext")

from octothinker.corpus.classify import (
    Classifier,
    ClassifierJudge,
    Classify,
    Example,
    classifier_stage,
    classify_stage,
    fasttext,
    probability,
    site_of,
    split,
)
from octothinker.corpus.config import Engine
from octothinker.corpus.ledger import Ledger
from octothinker.corpus.prepare import prepare
from octothinker.records import read_json
from octothinker.typed import ConfigError
from tests.corpus.shards_here import read_all, write_documents


def test_preparations_by_hand() -> None:
    text = "Let  𝑥^2 = 12.5\n\\alpha_1 — ½ " + "y" * 101
    assert prepare(text, "symbols", 1000, sublinear_tf=False) == "let x ^ 2 = 12 . 5 \\ alpha _ 1 — 1 ⁄ 2"
    assert prepare(text, "paper", 1000, sublinear_tf=False) == "let x 0 0 0 alpha 0 0 0"
    assert prepare("abc def", "symbols", 5, sublinear_tf=False) == "abc d"
    assert (
        prepare("a x a b a a x x", "symbols", 100, sublinear_tf=True) == "a x a b a x"
    )  # the 1st, 2nd, 4th … time, in place
    assert [len(prepare("w " * n, "paper", 100, sublinear_tf=True).split()) for n in (1, 2, 3, 4, 7, 8)] == [
        1,
        2,
        2,
        3,
        3,
        4,
    ]
    assert Classifier(preparation="paper", characters=9, sublinear_tf=False).line("x_1 x 2 x x") == "x 0 x 0 x"
    assert Classifier(characters=9).line("x_1 x 2 x x") == "x _ 1 x 2"


@settings(max_examples=100)
@given(st.text() | st.text(st.sampled_from("_label</s>\n\r\v\x00 \u2028\ud800yesno")))
def test_a_prepared_text_is_one_line_without_labels(text: str) -> None:
    for how, sublinear_tf in product(("symbols", "paper"), (True, False)):
        line = prepare(f"__label__yes </s> {text}", how, 10_000, sublinear_tf)  # type: ignore[arg-type]
        assert "__label__" not in line and "</s>" not in line
        assert line.encode() and len(line.splitlines()) == 1 and line.split() == line.split(" ")


@settings(max_examples=50)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(2, 6))
def test_a_site_is_in_one_fold(sites: list[str], folds: int) -> None:
    found = split([Example(str(i), site, True, "") for i, site in enumerate(sites)], folds, seed=0)
    assert len({(site, fold) for site, fold in zip(sites, found, strict=True)}) == len(set(sites))
    assert set(found) == set(range(min(folds, len(set(sites)))))


def test_sites() -> None:
    assert site_of({"url": "https://www.a.example:80/x", "source": "s"}) == "a.example"
    assert site_of({"site": "b", "url": "https://a.example"}) == "b"
    assert site_of({"url": "http://[bad", "source": "s"}) == "s" and site_of({}) == "unknown"


MATHS = [
    "Let $x_{} = {}$ be a root.",
    "Then \\frac{{{}}}{{{}}} is the limit.",
    "Prove that {} + {} = n^2.",
    "The matrix has rank {}, {}.",
]
OTHER = [
    "Click {} to download {}.",
    "The recipe needs {} eggs and {} cups.",
    "Posted on day {} by user {}.",
    "Install {} then run {}.",
]


def made_up_web(n: int = 60) -> list[dict[str, Any]]:
    """Six sites of each kind; each says its own name on every page, which is no help on another."""
    random.seed(0)
    rows = []
    for i in range(n):
        kind, site = i % 2, (i // 2) % 6
        lines = [
            line.format(random.randrange(99), random.randrange(99))
            for line in random.choices((OTHER, MATHS)[kind], k=8)
        ]
        text = f"site{kind}{site} " * 5 + " ".join(lines)
        metadata = {"url": f"https://s{kind}{site}.example/{i}", "score": 4 * kind, "year": 2020 + i % 3}
        rows.append({"id": f"p{i}", "text": text, "metadata": metadata})
    return rows


SMALL = Classifier(dim=16, epochs=10, bucket=1000, folds=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    write_documents(folder / "labelled", made_up_web())
    (folder / "out").mkdir()
    classifier_stage(SMALL, {"documents": folder / "labelled"}, folder / "out")
    return folder


def test_it_learns_and_says_how_well(trained: Path) -> None:
    report = read_json(trained / "out/classifier.json")
    assert report["documents"] == 60 and report["positive"] == 30
    assert report["held_out"]["f1"] > 0.9
    assert report["reason"].startswith("the most recall (") and 0 < report["threshold"] < 1
    assert len(report["sites"]) == 12 and all(site["documents"] == 5 for site in report["sites"].values())
    assert sum(row["n"] for row in report["reliability"]) == 60 and 0 <= report["ece"] < 0.5


def test_the_same_labels_give_the_same_model(trained: Path, tmp_path: Path) -> None:
    write_documents(tmp_path / "labelled", made_up_web()[::-1], shards=4)
    (tmp_path / "out").mkdir()
    classifier_stage(SMALL, {"documents": tmp_path / "labelled"}, tmp_path / "out")
    for name in ("classifier.bin", "classifier.json"):
        assert (tmp_path / "out" / name).read_bytes() == (trained / "out" / name).read_bytes()


def test_use_prepares_as_training_did(trained: Path) -> None:
    judge = ClassifierJudge(trained / "out", None)
    model = fasttext().load_model(str(trained / "out/classifier.bin"))
    from datatrove.data import Document

    for row in made_up_web():
        document = Document(text=row["text"], id=row["id"], metadata={})
        kept = judge(document) is None
        expected = probability(model, SMALL.line(row["text"]))
        assert document.metadata["score"] == round(expected, 4) and kept == (expected >= judge.threshold)
    assert probability(model, "") == 0.0


def test_the_step_keeps_what_reaches_the_threshold_and_tells_the_yield(trained: Path, tmp_path: Path) -> None:
    rows = made_up_web()
    write_documents(tmp_path / "in", rows)
    ledger = Ledger()
    for row in rows:
        ledger.enter(row["text"])
        ledger.keep(row["id"], row["text"])
        ledger.count("year", row["metadata"]["year"])
    ledger.save(tmp_path / "in/ledger.json")
    (tmp_path / "out").mkdir()
    inputs = {"documents": tmp_path / "in", "classifier": trained / "out"}
    result = classify_stage(Classify(threshold=0.5, engine=Engine(workers=1)), inputs, tmp_path / "out")
    kept = read_all(tmp_path / "out")
    assert result["documents"] == len(kept) and result["dropped"] == {"below_threshold": 60 - len(kept)}
    assert 25 <= len(kept) <= 35 and all(row["metadata"]["score"] >= 0.5 for row in kept)
    years = Counter(str(row["metadata"]["year"]) for row in kept)
    assert result["yield"] == {year: years[year] / 20 for year in ("2020", "2021", "2022")}


def test_what_cannot_be_learnt_from(tmp_path: Path) -> None:
    for rows, message in (
        ([{"id": "a", "text": "x", "metadata": {}}], "document 'a' has no metadata.score"),
        ([{"id": "a", "text": "x", "metadata": {"score": 4, "source": "s"}}], "needs two sites"),
        ([{"id": i, "text": "x", "metadata": {"score": 4, "source": i}} for i in "abc"], "positive and negative"),
    ):
        write_documents(tmp_path / "in", rows, shards=1)
        with pytest.raises(ConfigError, match=message):
            classifier_stage(SMALL, {"documents": tmp_path / "in"}, tmp_path)
