"""What a stage writes while it runs: metrics as JSONL, a progress file, and small files that are never half-written.

Metrics go to `metrics.jsonl` first, one line a step; everything else (progress bars, reports, online trackers) reads it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write to a temporary name, flush to disk, rename: a reader sees the old file or the new one."""
    tmp = path.with_name(path.name + ".tmp")
    with open(tmp, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(tmp, path)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file; a torn last line (its writer was killed) is left out, any other bad line is an error."""
    rows = []
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):  # no newline after it: torn
                break
            raise ValueError(f"{path}:{number}: not valid JSON: {error}") from error
    return rows


class Metrics:
    """Append-only `metrics.jsonl`. Opening it at `step` drops rows from there on: a resume writes them again."""

    def __init__(self, path: Path, step: int = 0) -> None:
        kept = [row for row in read_jsonl(path) if row["step"] < step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = open(path, "a", encoding="utf-8", buffering=1)

    def log(self, row: dict[str, Any]) -> None:
        """`row` has a "step"; floats that are not finite become null."""
        clean = {
            k: (None if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v) for k, v in row.items()
        }
        self._file.write(json.dumps(clean) + "\n")

    def close(self) -> None:
        self._file.close()


class Progress:
    """How far a stage is, in `progress.json`, rewritten at most once a second: what `octo run` and `octo status` show."""

    def __init__(self, folder: Path, total: int, unit: str, done: int = 0) -> None:
        self.path, self.total, self.unit = folder / "progress.json", total, unit
        self.first, self.started, self.written = done, time.time(), 0.0
        self.update(done)

    def update(self, done: int, **info: float | str) -> None:
        now = time.time()
        if now - self.written < 1.0 and done < self.total:
            return
        self.written = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        eta = (self.total - done) / rate if rate > 0 else None
        write_json(
            self.path,
            {
                "done": done,
                "total": self.total,
                "unit": self.unit,
                "rate": rate,
                "eta_seconds": eta,
                "info": info,
                "updated": now,
                "pid": os.getpid(),
            },
        )
