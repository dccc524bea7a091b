"""`octo corpus extract`: pages of an input -> one JSON line each, {"url", "text", "formulas", "title"}.

While it runs the lines are in OUT.part, and OUT.state.json says how far they are good; a killed run goes on from there and
gives the same file, byte for byte. At the end OUT.report.json holds the ledger: pages in == written + dropped by reason.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from octothinker.corpus.extract.page import Limits
from octothinker.corpus.extract.pool import extract_all
from octothinker.corpus.read import SAMPLES, Reader
from octothinker.records import read_json, write_json
from octothinker.typed import ConfigError, check, digest

SAVE_EVERY = 10.0
"""Seconds between two states."""
VERSION = 1
"""Raised when the same page would now give another line: a half-done file of an older one is not gone on with."""

Watch = Callable[[int, int, int, dict[str, int]], None]


def extract_file(
    source: str, out: Path, workers: int, limits: Limits, field: str | None = None, watch: Watch = lambda *_: None
) -> dict[str, Any]:
    """Extract all pages of `source`; returns the report. `watch(pages, bytes, total bytes, dropped)` is called after each."""
    reader = Reader(source, field)
    made_of = digest([VERSION, sorted(reader.files.items()), field, asdict(limits)])
    report_file, state_file, part = (out.with_name(out.name + end) for end in (".report.json", ".state.json", ".part"))
    if out.exists():
        check(report_file.exists(), f"{out} exists and is none of ours; name another file, or take it away")
        report = dict(read_json(report_file))
        if report["made_of"] == made_of:
            return report
        raise ConfigError(f"{out} was made from another input or other limits; name another file, or take it away")
    state = _state(state_file, part, made_of)
    dropped, kinds, samples = Counter(state["dropped"]), Counter(state["formula_kinds"]), state["samples"]
    pages, saved, began = state["pages"], time.monotonic(), time.monotonic()
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "ab") as file:
        file.truncate(state["bytes"])
        file.seek(state["bytes"])

        def save() -> None:
            file.flush()
            os.fsync(file.fileno())
            seconds = state["seconds"] + time.monotonic() - began
            now = {"pages": pages, "bytes": file.tell(), "dropped": dropped, "samples": samples, "formula_kinds": kinds}
            write_json(state_file, {"made_of": made_of, **now, "seconds": seconds})

        for result in extract_all(islice(reader, pages, None), workers, limits):
            pages += 1
            if result.page is None:
                dropped[result.reason] += 1
                if len(named := samples.setdefault(result.reason, [])) < SAMPLES:
                    named.append(
                        f"{result.raw.source}, {result.raw.source_offset}: {result.raw.url} {result.detail}".strip()
                    )
            else:
                kinds.update(formula.kind for formula in result.page.formulas)
                file.write(
                    (json.dumps(line(result.raw.url, result.page), ensure_ascii=False) + "\n").encode(
                        "utf-8", "replace"
                    )
                )
            watch(pages, reader.done_bytes, reader.total_bytes, dropped)
            if time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        save()
    broken = dict(reader.broken)
    report = {
        "made_of": made_of,
        "input": source,
        "pages": pages,
        "written": pages - sum(dropped.values()),
        "dropped": dict(dropped),
        "broken_records": broken,
        "samples": {**samples, **reader.samples},
        "formula_kinds": dict(kinds),
        "limits": asdict(limits),
        "seconds": state["seconds"] + time.monotonic() - began,
    }
    write_json(report_file, report)
    os.replace(part, out)
    state_file.unlink()
    return report


def line(url: str, page: Any) -> dict[str, Any]:
    formulas = [{"tex": f.tex, "display": f.display, "kind": f.kind} for f in page.formulas]
    return {"url": url, "text": page.text, "formulas": formulas, "title": page.title}


def _state(file: Path, part: Path, made_of: str) -> dict[str, Any]:
    """How far an earlier run came; its part is thrown away when input or limits have changed since."""
    if file.exists() and part.exists():
        state = dict(read_json(file))
        if state["made_of"] == made_of and state["bytes"] <= part.stat().st_size:
            return state
    part.unlink(missing_ok=True)
    return {"pages": 0, "bytes": 0, "dropped": {}, "samples": {}, "formula_kinds": {}, "seconds": 0.0}
