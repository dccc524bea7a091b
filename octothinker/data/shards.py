"""Tokenised documents on disk: written once, then memory-mapped.

tokens-00000.bin, …  token ids, little endian, uint16 (vocabulary under 65,536) or uint32; each document ends in eos
ends.npy             (documents,) uint64: tokens up to and with each document, counted over all files
shards.json          counts, checksums, the tokenizer's hash. Written last: without it the folder is not done
"""

from __future__ import annotations

import hashlib
import os
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from octothinker.data.files import Position
from octothinker.records import Progress, read_json, write_json
from octothinker.typed import ConfigError, check

MANIFEST, ENDS = "shards.json", "ends.npy"
DTYPES = {"uint16": "<u2", "uint32": "<u4"}
FILE_BYTES = 1 << 30
BATCH_CHARACTERS = 1 << 20  # of text, tokenised or hashed at once: enough for all threads; some 30 MB with the ids


class Encoder(Protocol):
    """What is needed of model.tokenizer.Tokenizer."""

    eos_id: int
    vocab_size: int
    hash: str

    def encode_batch(self, texts: Sequence[str], /) -> Sequence[Any]:
        """The ids of each text, as a list or an array."""
        ...


def write_shards(
    texts: Iterable[str], tokenizer: Encoder, out: Path, position: Position | None = None, file_bytes: int = FILE_BYTES
) -> dict[str, Any]:
    """Tokenise `texts` into the folder `out` and return its manifest.

    `position`: where the reader of `texts` stands, for the time left in progress.json. `file_bytes`: a new file begins
    after the batch of documents that fills one. Blank texts are left out and counted.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in [out / MANIFEST, out / ENDS, *out.glob("tokens-*.bin")]:  # the manifest first: now it is not done
        old.unlink(missing_ok=True)
    name = "uint16" if tokenizer.vocab_size < 1 << 16 else "uint32"
    dtype = np.dtype(DTYPES[name])
    progress, position = Progress(out, 1, "documents"), position or Position()
    ends, blank = array("Q"), 0
    files: list[dict[str, Any]] = []

    def kept() -> Iterator[str]:
        nonlocal blank
        for text in texts:
            if text and not text.isspace():
                yield text
            else:
                blank += 1

    pending = batches(kept(), min(BATCH_CHARACTERS, file_bytes))
    batch = next(pending, None)
    while batch is not None:
        path = out / f"tokens-{len(files):05d}.bin"
        with open(path, "wb") as file:
            while batch is not None and file.tell() < file_bytes:
                file.write(_encode(batch, tokenizer, dtype, ends))
                progress.total = len(ends) * position.total // position.done if position.done else len(ends) + 1
                progress.update(len(ends), tokens=ends[-1])
                batch = next(pending, None)
            _sync(file)
        files.append(_entry(path))
    check(bool(ends), f"no document has any text ({blank} are blank)")
    with open(out / ENDS, "wb") as file:
        np.save(file, np.frombuffer(ends, dtype=np.uint64).astype("<u8", copy=False))
        _sync(file)
    files.append(_entry(out / ENDS))
    manifest = {
        "tokenizer": tokenizer.hash,
        "vocab_size": tokenizer.vocab_size,
        "dtype": name,
        "documents": len(ends),
        "tokens": ends[-1],
        "blank": blank,
        "sha256": hashlib.sha256(" ".join(entry["sha256"] for entry in files).encode()).hexdigest(),
        "files": files,
    }
    write_json(out / MANIFEST, manifest)
    progress.total = len(ends)
    progress.update(len(ends), tokens=ends[-1])
    return manifest


def batches(texts: Iterable[str], characters: int) -> Iterator[list[str]]:
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode(texts: list[str], tokenizer: Encoder, dtype: np.dtype[Any], ends: array[int]) -> bytes:
    """Token ids of all texts, each followed by eos; appends to `ends`."""
    rows = tokenizer.encode_batch(texts)
    lengths = [len(row) + 1 for row in rows]
    ids, at = np.full(sum(lengths), tokenizer.eos_id, np.int64), 0
    for row in rows:
        ids[at : at + len(row)] = row
        at += len(row) + 1
    if not 0 <= ids.min() <= ids.max() < tokenizer.vocab_size:
        raise ValueError(f"token ids from {ids.min()} to {ids.max()}, but the vocabulary has {tokenizer.vocab_size}")
    ends.extend(list(accumulate(lengths, initial=ends[-1] if ends else 0))[1:])
    return ids.astype(dtype).tobytes()


def adopt_shards(source: Path, tokenizer_hash: str, out: Path) -> dict[str, Any]:
    """Take finished shards over into `out`: linked where that is possible, else copied; returns their manifest.

    ConfigError when another tokenizer made them.
    """
    ready = Shards.open(source)
    if ready.tokenizer != tokenizer_hash:
        raise ConfigError(
            f"{source}: these shards were made with another tokenizer than the model's; name the documents"
        )
    for name in [*(entry["name"] for entry in ready.manifest["files"]), MANIFEST]:
        (out / name).unlink(missing_ok=True)
        try:
            os.link(source / name, out / name)
        except OSError:  # another file system
            shutil.copyfile(source / name, out / name)
    return ready.manifest


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _entry(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": checksum}


class Shards:
    """The documents of one finished folder, memory-mapped: nothing is read before it is asked for."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.documents: int = manifest["documents"]
        self.tokens: int = manifest["tokens"]
        self.sha256: str = manifest["sha256"]
        self.tokenizer: str = manifest["tokenizer"]
        for entry in manifest["files"]:
            path = folder / entry["name"]
            size = path.stat().st_size if path.is_file() else None
            if size != entry["bytes"]:
                raise ConfigError(f"{path}: {'missing' if size is None else size}, not {entry['bytes']} bytes")
        paths = [folder / entry["name"] for entry in manifest["files"] if entry["name"] != ENDS]
        # Plain arrays over the mappings: slices of np.memmap itself cost several times as much.
        self._files = [np.asarray(np.memmap(path, dtype=DTYPES[manifest["dtype"]], mode="r")) for path in paths]
        self._starts = list(accumulate((len(file) for file in self._files), initial=0))
        self.ends = np.asarray(np.load(folder / ENDS, mmap_mode="r")).view("<i8")  # (documents,); signed: to subtract
        if len(self.ends) != self.documents or not self.ends[-1] == self.tokens == self._starts[-1]:
            raise ConfigError(f"{folder}: {MANIFEST}, {ENDS} and the token files disagree about the number of tokens")

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """ConfigError when the folder is not finished, or a file is missing or has the wrong size."""
        check((folder / MANIFEST).is_file(), f"{folder}: no finished shards there (no {MANIFEST})")
        return cls(folder, read_json(folder / MANIFEST))

    def verify(self) -> None:
        """Read everything once and compare checksums; ConfigError names the damaged file."""
        for entry in self.manifest["files"]:
            path = self.folder / entry["name"]
            check(_entry(path) == entry, f"{path}: damaged, its content does not match the checksum in {MANIFEST}")

    def document(self, index: int) -> np.ndarray[Any, Any]:
        """(length,) uint16 or uint32: a document's tokens with its eos. No document lies across two files."""
        start, end = int(self.ends[index - 1]) if index else 0, int(self.ends[index])
        file = bisect_right(self._starts, start) - 1
        return self._files[file][start - self._starts[file] : end - self._starts[file]]
