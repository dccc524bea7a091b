"""Data files: which ones a path means, their rows, their checksums.

JSON lines (plain, gzip, zstd) and parquet, from a file, a folder, a glob or a data set on the hub. What cannot be
read is a ConfigError that names file and line. Compressed files go through pyarrow: python-zstandard 0.25 reads a cut-off
.zst to its torn end without an error.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from octothinker.typed import ConfigError, check

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst", ".parquet")
HUB = "hf://datasets/"


class Row(NamedTuple):
    """One document or problem; `label` + `number` say where it stands: `web.jsonl: line 17`."""

    label: str
    number: int
    fields: dict[str, Any]

    @property
    def where(self) -> str:
        return f"{self.label} {self.number}"


@dataclass
class Position:
    """How far a reading is, in bytes of its files, for progress bars. `total` 0: not known (a generator)."""

    done: int = 0
    total: int = 0


def find(path: str) -> dict[str, Path]:
    """The files of a `path`, sorted by their names relative to the folder (or the part of the glob without wildcards).

    Hidden files are left out. ConfigError when there is none.
    """
    root, rest = _download(path) if path.startswith(HUB) else (Path(), str(Path(path).expanduser()))
    if (root / rest).exists():
        root, pattern = root / rest, "**/*"
    else:
        parts = Path(rest).parts
        plain = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
        root, pattern = root.joinpath(*parts[:plain]), "/".join(parts[plain:])
    if root.is_file():
        found = {root.name: root}
    else:
        found = {name: root / name for name in sorted(glob.glob(pattern, root_dir=root, recursive=True))}
    found = {name: file for name, file in found.items() if name.endswith(SUFFIXES) and file.is_file()}
    check(bool(found), f"no file matches {path!r} (names end in {', '.join(SUFFIXES)})")
    return found


def _download(path: str) -> tuple[Path, str]:
    """`hf://datasets/owner/name[@revision]/glob` -> the folder of its snapshot in the hub's cache, and the glob.

    A `/` in a revision is written %2F. Offline, what the cache holds is used.
    """
    from huggingface_hub import snapshot_download

    match = re.fullmatch(HUB + r"([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.*))?", path)
    if match is None:
        raise ConfigError(f"{path!r}: write hf://datasets/owner/name[@revision]/glob")
    repo, revision, rest = match[1], match[2] and unquote(match[2]), (match[3] or "").rstrip("/")
    wanted = [rest, *(f"{rest}/*{suffix}" for suffix in SUFFIXES)] if rest else [f"*{suffix}" for suffix in SUFFIXES]
    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=wanted)), rest
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors
        raise ConfigError(f"{path}: {error}") from error


def read(path: Path, position: Position, needed: list[str] | None = None) -> Iterator[Row]:
    """The rows of one file. `needed`: the only fields wanted (parquet reads no others)."""
    end = position.done + path.stat().st_size
    yield from _parquet(path, position, needed) if path.name.endswith(".parquet") else _jsonl(path, position)
    position.done = end


def _jsonl(path: Path, position: Position) -> Iterator[Row]:
    import pyarrow as pa

    start, number, label = position.done, 0, f"{path}: line"
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    try:
        with open(path, "rb") as raw:
            stream = io.BufferedReader(pa.input_stream(raw, compression=compression)) if compression else raw
            for number, line in enumerate(stream, 1):
                if number % 1024 == 0:
                    position.done = start + raw.tell()
                if not line.isspace():
                    yield Row(label, number, _object(line, f"{label} {number}"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read after line {number}, is it cut short? ({error})") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
    except ValueError as error:  # bad JSON or bad UTF-8
        raise ConfigError(f"{where}: not valid JSON: {error}") from error
    check(isinstance(value, dict), f"{where}: {type(value).__name__}, each line must be a JSON object")
    return dict(value)


def _parquet(path: Path, position: Position, needed: list[str] | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    start, number, label = position.done, 0, f"{path}: row"
    try:
        with pq.ParquetFile(path) as file:
            for name in needed or []:
                if name not in file.schema_arrow.names:
                    have = ", ".join(file.schema_arrow.names)
                    raise ConfigError(f"{path}: no field {name!r}; it has: {have}")
            for batch in file.iter_batches(batch_size=1024, columns=needed):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(label, number, fields)
                position.done = start + path.stat().st_size * number // max(1, file.metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read after row {number}, is it whole? ({error})") from error


def sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """Remembered while size and time of change stay: a plan asks more than once for the same large files."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
