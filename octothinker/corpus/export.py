"""The shards for other trainers: datatrove's `.ds` (nanotron) and Megatron's `.bin`/`.idx`. The same token bytes, other tables.

shards ─> NAME.ds, NAME.ds.index (uint64 ends of documents), NAME.ds.metadata        datatrove 0.10
shards ─> NAME.bin, NAME.idx     (MMIDIDX, version 1)                                Megatron-LM, megatron-core
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np

from octothinker.data.shards import DTYPES, ENDS, Shards
from octothinker.records import write_text
from octothinker.typed import check

MEGATRON_CODES = {"uint16": 8, "uint32": 4}
"""Codes of element types in an index; there is none for uint32, whose ids are below 2^31 and written as int32."""


def export(folder: Path, out: Path, form: Literal["datatrove", "megatron"], tokenizer: str = "") -> list[Path]:
    """Write the shards in `folder` as `out` (without suffix) in another trainer's form; returns the files."""
    ready = Shards.open(folder)
    ready.verify()
    out.parent.mkdir(parents=True, exist_ok=True)
    ends = np.asarray(ready.ends, np.int64)
    suffix = ".ds" if form == "datatrove" else ".bin"
    data = out.with_name(out.name + suffix)
    with open(data, "wb") as file:
        for entry in ready.manifest["files"]:
            if entry["name"] != ENDS:
                with open(folder / entry["name"], "rb") as tokens:
                    while block := tokens.read(1 << 24):
                        file.write(block)
    return [data, *(_ds(data, ready, ends, tokenizer) if form == "datatrove" else _idx(data, ready, ends))]


def _ds(data: Path, ready: Shards, ends: np.ndarray[Any, Any], tokenizer: str) -> list[Path]:
    index, about = data.with_name(data.name + ".index"), data.with_name(data.name + ".metadata")
    index.write_bytes(ends.astype("<u8").tobytes())
    width = np.dtype(DTYPES[ready.manifest["dtype"]]).itemsize
    write_text(about, f"{tokenizer or ready.tokenizer}|{width}\n{ready.tokens}\n{ready.tokens:,} tokens\n")
    return [index, about]


def _idx(data: Path, ready: Shards, ends: np.ndarray[Any, Any]) -> list[Path]:
    """Header, type, numbers of sequences and documents, then lengths (int32), byte offsets (int64), document borders (int64)."""
    kind = ready.manifest["dtype"]
    check(
        kind == "uint16" or ready.manifest["vocab_size"] < 1 << 31, "export: token ids over 2^31 have no Megatron type"
    )
    lengths = np.diff(ends, prepend=0)
    check(int(lengths.max()) < 1 << 31, "export: a document of over 2^31 tokens has no place in a Megatron index")
    offsets = (ends - lengths) * np.dtype(DTYPES[kind]).itemsize
    path = data.with_suffix(".idx")
    with open(path, "wb") as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, MEGATRON_CODES[kind], len(ends), len(ends) + 1))
        file.write(lengths.astype("<i4").tobytes())
        file.write(offsets.astype("<i8").tobytes())
        file.write(np.arange(len(ends) + 1, dtype="<i8").tobytes())
    return [path]
