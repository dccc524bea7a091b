"""Exact and near-duplicates: of each cluster the first document stays, and carries the number of its copies.

    shards ─ signatures, a task a shard ─> signatures/ ─ clusters (one process) ─> clusters.npy ─ sieve, a task a shard ─> shards

datatrove's MinHash stages do the same by sorted files on any number of machines; in Python's pace, and without the comparison
of whole signatures that lets more bands find more and merge less (corpus/minhash.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from octothinker.corpus.config import Dedup
from octothinker.corpus.flow import Documents, run_tasks, shards, sift
from octothinker.corpus.minhash import Array, Clusters, cluster, fingerprint, signatures
from octothinker.data.shards import BATCH_CHARACTERS, batches
from octothinker.typed import version

CLUSTERS = "clusters.npy"


class Signatures(PipelineStep):
    """Writes <task>.signatures.npy (documents, hashes) uint32 and <task>.exact.npy (documents, 2) uint64."""

    name, type = "signatures", "dedup"

    def __init__(self, config: Dedup, folder: Path) -> None:
        super().__init__()
        self.config, self.folder = config, folder

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        config, found, exact = self.config, [], bytearray()
        for texts in batches((document.text for document in data), BATCH_CHARACTERS):
            found.append(signatures(texts, config.shingle, config.bands * config.rows, config.seed))
            exact += b"".join(map(fingerprint, texts))
        self.folder.mkdir(parents=True, exist_ok=True)
        empty = np.empty((0, config.bands * config.rows), np.uint32)
        np.save(self.folder / f"{rank:05d}.signatures.npy", np.concatenate([empty, *found]))
        np.save(self.folder / f"{rank:05d}.exact.npy", np.frombuffer(exact, np.uint64).reshape(-1, 2))


def find_clusters(config: Dedup, folder: Path) -> tuple[Array, Array]:
    """From the files of Signatures: (documents,) int64, the first document of each one's cluster, by exact copies alone and
    with the near ones."""
    parts = [np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.signatures.npy"))]
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    exact = np.concatenate([np.load(file) for file in sorted(folder.glob("*.exact.npy"))])
    clusters = Clusters(int(starts[-1]))
    keys = exact[:, 0] ^ (
        exact[:, 1] << np.uint64(1)
    )  # 64 of 128 bits: documents of 1e8 collide with probability .0003
    clusters.join_equal(keys, np.arange(len(keys)))
    same = clusters.roots().copy()
    rows = _rows(parts, starts)
    alone = np.flatnonzero(same == np.arange(len(same)))
    blank = np.concatenate(
        [(rows(alone[i : i + 100_000]) == 0xFFFFFFFF).all(axis=1) for i in range(0, len(alone), 100_000)]
    )
    cluster(rows, alone[~blank], clusters, config.bands, config.rows, config.threshold)
    return same, clusters.roots()


def _rows(parts: list[Array], starts: Array) -> Callable[[Array], Array]:
    """Signatures of documents that are numbered through all files."""

    def rows(indices: Array) -> Array:
        out = np.empty((len(indices), parts[0].shape[1]), np.uint32)
        owner = np.searchsorted(starts, indices, side="right") - 1
        for part in np.unique(owner):
            mine = np.flatnonzero(owner == part)
            out[mine] = parts[part][indices[mine] - starts[part]]
        return out

    return rows


class DedupJudge:
    """Reads from clusters.npy what becomes of each document of a task; they come in the order of the signatures."""

    def __init__(self, file: Path, starts: list[int]) -> None:
        self.file, self.starts = file, starts

    def begin(self, task: int) -> None:
        same, near = np.load(self.file)
        self.at, self.same, self.near = self.starts[task], same, near
        self.copies = np.bincount(near, minlength=len(near))

    def __call__(self, document: Document) -> str | None:
        at, self.at = self.at, self.at + 1
        first = int(self.near[at])
        if first == at:
            document.metadata["copies"] = int(self.copies[at])
            return None
        shard = next(i for i in reversed(range(len(self.starts))) if self.starts[i] <= first)
        document.metadata["copy_of"] = f"shard {shard}, document {first - self.starts[shard]}"
        return "exact_copy" if self.same[at] != at else "near_copy"


@version(1)
def dedup_stage(config: Dedup, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`. Keeps the first of each cluster of copies."""
    source, folder = inputs["documents"], out / "signatures"
    if not (out / CLUSTERS).exists():
        steps = [Documents(source), Signatures(config, folder)]
        run_tasks(steps, len(shards(source)), out, config.engine, logs="logs/signatures")
        both = np.stack(find_clusters(config, folder))
        with open(out / (CLUSTERS + ".tmp"), "wb") as file:
            np.save(file, both)
        (out / (CLUSTERS + ".tmp")).rename(out / CLUSTERS)
    counts = [len(np.load(file, mmap_mode="r")) for file in sorted(folder.glob("*.exact.npy"))]
    starts = [sum(counts[:i]) for i in range(len(counts))]
    result = sift(DedupJudge(out / CLUSTERS, starts), source, out, config.engine, config.drop_limit)
    shutil.rmtree(folder)
    return result
