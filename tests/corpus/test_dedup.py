"""Shingles against a plain reference; copies found, strangers left alone, the first one kept."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octothinker.corpus.config import Dedup
from octothinker.corpus.minhash import Clusters, cluster, fingerprint, shingles
from tests.corpus.shards_here import read_all, write_documents

VOCABULARY = [f"w{i}" for i in range(3000)]


def reference(text: str, size: int) -> list[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+|[^\x00-\x7f]+", text.lower())
    return [tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))] if words else []


ascii_texts = st.lists(st.text("ab1 -\n", max_size=30), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(ascii_texts, st.integers(1, 4))
def test_shingles_are_those_of_a_plain_loop(texts: list[str], size: int) -> None:
    flat, starts = shingles(texts, size)
    seen: dict[tuple[str, ...], int] = {}
    for text, a, b in zip(texts, starts, starts[1:], strict=False):
        plain = reference(text, size)
        assert b - a == len(plain)
        for gram, value in zip(plain, flat[a:b].tolist(), strict=True):
            assert seen.setdefault(gram, value) == value  # the same words, the same hash, wherever they stand
    assert len(set(seen.values())) == len(seen)  # other words, another


def test_fingerprints_ignore_case_and_spaces_only() -> None:
    assert fingerprint("A  b\nC") == fingerprint("a b c") != fingerprint("a b, c")


def test_clusters_are_named_by_their_first_document() -> None:
    clusters = Clusters(6)
    for a, b in ((4, 5), (2, 4), (3, 1)):
        clusters.join(a, b)
    assert clusters.roots().tolist() == [0, 1, 2, 1, 2, 2]


def test_a_bucket_of_strangers_joins_only_those_alike() -> None:
    """Six signatures that share a band: 0, 2, 4 alike, 1 and 3 alike, 5 alone."""
    rows = np.arange(6 * 8, dtype=np.uint32).reshape(6, 8)
    rows[[2, 4]] = rows[0]
    rows[3] = rows[1]
    rows[:, :2] = 7
    clusters = Clusters(6)
    cluster(lambda i: rows[i], np.arange(6), clusters, bands=4, size=2, threshold=0.7)
    assert clusters.roots().tolist() == [0, 1, 0, 1, 0, 5]


@pytest.fixture(scope="module")
def family() -> list[list[str]]:
    rng = random.Random(3)
    bases = [rng.choices(VOCABULARY, k=200) for _ in range(40)]
    near = [[*base[:50], "another", *base[51:150], "two", *base[151:]] for base in bases[:20]]
    return [*bases, *near, bases[30]]


def test_the_stage_keeps_the_first_of_each_family(family: list[list[str]], tmp_path: Path) -> None:
    pytest.importorskip("rensa")
    from octothinker.corpus.dedup import dedup_stage

    texts = [" ".join(words) for words in family]
    texts[60] = texts[30].upper() + " \n"
    rows = [{"id": str(i), "text": text, "metadata": {}} for i, text in enumerate([*texts, "!!", "??"])]
    write_documents(tmp_path / "in", rows, shards=3)
    (tmp_path / "out").mkdir()
    result = dedup_stage(Dedup(), {"documents": tmp_path / "in"}, tmp_path / "out")
    kept = read_all(tmp_path / "out")
    assert [row["id"] for row in kept] == [*map(str, range(40)), "61", "62"]  # nothing to compare is no copy
    assert result["dropped"] == {"exact_copy": 1, "near_copy": 20}
    copies = {row["id"]: row["metadata"]["copies"] for row in kept}
    assert copies["0"] == copies["30"] == 2 and copies["39"] == 1
    assert not (tmp_path / "out/signatures").exists()
