"""Signatures of texts, and which of them are near-duplicates: MinHash LSH with arrays (Broder 1997).

    texts ─ words ─ shingles ─> hashes (numpy, a batch of texts at once) ─ rensa ─> signatures (documents, bands x rows)
    signatures ─ equal bands ─> candidate pairs ─ share of equal hashes >= threshold ─> union-find ─> clusters

Shingling is the cost of MinHash in Python (measured: nine tenths of it); here it is a polynomial hash over the bytes of a whole
batch. Memory of the clusters: some 50 bytes a document; signatures stay on disk.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_BASE, _INVERSE = 0x9E3779B97F4A7C15, pow(0x9E3779B97F4A7C15, -1, 1 << 64)
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64
_WORD_BYTES = np.array([chr(b).isalnum() if b < 128 else True for b in range(256)])
PARTITION = 8_000_000
"""Band hashes that are sorted at once."""
ROUNDS = 8
"""Leaders that the members of one band bucket are compared with."""


def _mix(values: Array) -> Array:
    """Bijective scrambling of uint64 (Steele et al. 2014)."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


@functools.lru_cache(4)
def _table(base: int, size: int) -> Array:
    powers = np.full(size, base, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _powers(base: int, count: int) -> Array:
    """base^0 … base^(count - 1), from a table whose size is a power of two."""
    return _table(base, 1 << max(count - 1, 1).bit_length())[:count]


def word_hashes(texts: Sequence[str]) -> tuple[Array, Array]:
    """Hash of every word (run of letters and digits, in lower case) of all texts, and the number of words of each text.

    Returns (words,) uint64 and (texts,) int64.
    """
    raw = [text.lower().encode("utf-8", "replace") for text in texts]
    data = np.frombuffer(b"\n".join([*raw, b""]), np.uint8)
    inside = np.concatenate([[False], _WORD_BYTES[data], [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[0::2], edges[1::2]
    # sum of byte * base^place up to each place; a word's share of it, divided by base^start, does not depend on its place
    sums = np.concatenate([[np.uint64(0)], np.cumsum((data.astype(np.uint64) + 1) * _powers(_BASE, len(data)))])
    hashes = _mix((sums[ends] - sums[starts]) * _powers(_INVERSE, len(data) + 1)[starts])
    borders = np.cumsum([len(text) + 1 for text in raw])
    owner = np.searchsorted(borders, starts, side="right")
    return hashes, np.bincount(owner, minlength=len(texts))


def shingles(texts: Sequence[str], size: int) -> tuple[Array, Array]:
    """Hashes of all runs of `size` words and where each text's begin: (shingles,) uint64 and (texts + 1,) int64.

    A shorter text has one shingle, of all its words; one without words has none.
    """
    words, counts = word_hashes(texts)
    first = np.concatenate([[0], np.cumsum(counts)])
    padded = np.concatenate([words, np.zeros(size, np.uint64)])
    rolling = np.zeros(len(words), np.uint64)
    for i in range(size):
        rolling = rolling * np.uint64(_BASE) + padded[i : i + len(words)]
    for text in np.flatnonzero((counts > 0) & (counts < size)):  # their windows reach into the next text
        rolling[first[text]] = sum(int(w) * pow(_BASE, size - i, 1 << 64) for i, w in enumerate(
            words[first[text] : first[text + 1]], 1)) % (1 << 64)  # fmt: skip
    each = np.where(counts >= size, counts - size + 1, np.minimum(counts, 1))
    ends = np.cumsum(each)
    # places 0 … each-1 of every text: their offsets from the running number of shingles are constant within a text
    wanted = np.arange(int(ends[-1])) + np.repeat(first[:-1] - (ends - each), each)
    return _mix(rolling[wanted]), np.concatenate([[0], ends])


def signatures(texts: Sequence[str], size: int, hashes: int, seed: int) -> Array:
    """(texts, hashes) uint32; a row of largest values for a text without words."""
    import rensa

    flat, offsets = shingles(texts, size)
    digest = rensa.RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets.astype(np.uint64), hashes, seed)
    return np.array(digest.to_rows(), np.uint32).reshape(len(texts), hashes)


def fingerprint(text: str) -> bytes:
    """16 bytes that two texts share when they differ in nothing but case and white space."""
    return hashlib.blake2b(" ".join(text.lower().split()).encode("utf-8", "replace"), digest_size=16).digest()


class Clusters:
    """Union-find over documents 0 … n-1; a cluster is named by its first document."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count)

    def roots(self) -> Array:
        """(documents,) int64: the first document of each one's cluster."""
        while True:
            up = self.parent[self.parent]
            if np.array_equal(up, self.parent):
                return self.parent
            self.parent = up

    def join(self, a: int, b: int) -> None:
        parent = self.parent
        while parent[a] != a:
            a = parent[a]
        while parent[b] != b:
            b = parent[b]
        parent[max(a, b)] = min(a, b)

    def join_equal(self, keys: Array, documents: Array) -> None:
        """Documents with equal keys are one."""
        order = np.argsort(keys, kind="stable")
        keys, documents = keys[order], documents[order]
        for i in np.flatnonzero(keys[1:] == keys[:-1]):
            self.join(documents[i], documents[i + 1])


def cluster(
    rows: Callable[[Array], Array], documents: Array, clusters: Clusters, bands: int, size: int, threshold: float
) -> None:
    """Join the near-duplicates among `documents`. `rows(indices)`: their signatures, (indices, bands * size) uint32."""
    for band in range(bands):
        columns = slice(band * size, (band + 1) * size)
        parts = -(-len(documents) // PARTITION)
        hashes = np.concatenate([_band(rows(chunk)[:, columns]) for chunk in _chunks(documents)] or [np.empty(0)])
        for part in range(parts):
            mine = np.flatnonzero(hashes % np.uint64(parts) == part) if parts > 1 else np.arange(len(documents))
            order = mine[np.argsort(hashes[mine], kind="stable")]
            _join_buckets(rows, documents[order], hashes[order], clusters, threshold)


def _band(values: Array) -> Array:
    """(documents, size) uint32 -> (documents,) uint64"""
    hashes = np.zeros(len(values), np.uint64)
    for column in values.T:
        hashes = _mix(hashes * np.uint64(_BASE) + column)
    return hashes


def _chunks(documents: Array, count: int = 100_000) -> Iterator[Array]:
    for start in range(0, len(documents), count):
        yield documents[start : start + count]


def _join_buckets(
    rows: Callable[[Array], Array], documents: Array, hashes: Array, clusters: Clusters, threshold: float
) -> None:
    """`documents` in the order of their `hashes`: those in one bucket are compared with its first, what is left with the
    first of what is left, …"""
    for _ in range(ROUNDS):
        begins = np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)]
        leader = documents[np.maximum.accumulate(np.where(begins, np.arange(len(hashes)), 0))]
        members = np.flatnonzero(~begins)
        if not len(members):
            return
        roots = clusters.roots()
        left = members[roots[documents[members]] != roots[leader[members]]]
        alike = np.concatenate(
            [
                (rows(documents[chunk]) == rows(leader[chunk])).mean(axis=1) >= threshold
                for chunk in _chunks(left, 20_000)
            ]
            or [np.empty(0, bool)]
        )
        for i in left[alike]:
            clusters.join(int(documents[i]), int(leader[i]))
        rest = left[~alike]
        documents, hashes = documents[rest], hashes[rest]
