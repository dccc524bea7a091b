"""Documents on disk, as the stages hand them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from octothinker.data.files import Position, read


def write_documents(folder: Path, rows: list[dict[str, Any]], shards: int = 2) -> Path:
    import zstandard

    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        mine = rows[len(rows) * shard // shards : len(rows) * (shard + 1) // shards]
        lines = "".join(json.dumps(row) + "\n" for row in mine)
        (folder / f"{shard:05d}.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    return folder


def read_all(folder: Path) -> list[dict[str, Any]]:
    return [row.fields for file in sorted(folder.glob("*.jsonl.zst")) for row in read(file, Position())]
