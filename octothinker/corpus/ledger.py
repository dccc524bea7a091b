"""What went into a step and what became of it: in == kept + dropped, by documents and by characters, or the step fails.

    task 0 ─ tasks/00000.json ─┐
    task 1 ─ tasks/00001.json ─┴─ merge, check ─> ledger.json

Samples of what was kept and of every reason to drop are those with the smallest hash of their ids: the same whatever the
number of tasks and the order in which they end.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from octothinker.records import read_json, write_json

LEDGER, TASKS = "ledger.json", "tasks"
SAMPLES = 5
"""Of what was kept, and of each reason."""
SAMPLE_CHARACTERS = 1500


class LedgerError(RuntimeError):
    """Documents appeared from nowhere or went nowhere: a fault of the step, never of its input."""


class Ledger:
    """Counts of one task or of a whole step; `counts` are further tables (`year`, `source`, formula kinds) of what was kept."""

    def __init__(self) -> None:
        self.read, self.kept, self.written = Counter[str](), Counter[str](), Counter[str]()
        self.dropped: dict[str, Counter[str]] = {}
        self.samples: dict[str, list[dict[str, Any]]] = {}
        """Reason ("" for what was kept) -> samples in the order of their hashes."""
        self.counts: dict[str, Counter[str]] = {}

    def enter(self, text: str) -> None:
        """A document comes in; every one must be kept or dropped afterwards."""
        self.read += Counter(documents=1, characters=len(text))

    def keep(self, id: str, before: str, after: str | None = None, **sample: Any) -> None:
        """It is written, as `after` where the step rewrites; further fields go into its sample."""
        text = before if after is None else after
        self.kept += Counter(documents=1, characters=len(before))
        self.written += Counter(documents=1, characters=len(text))
        self._sample("", id, before, {**sample, **({} if text == before else {"after": text[:SAMPLE_CHARACTERS]})})

    def drop(self, reason: str, id: str, text: str, **sample: Any) -> None:
        self.dropped.setdefault(reason, Counter()).update(documents=1, characters=len(text))
        self._sample(reason, id, text, sample)

    def add(self, text: str) -> None:
        """A document that the step made of others is written beside them."""
        self.written += Counter(documents=1, characters=len(text))

    def count(self, table: str, name: Any, number: int = 1) -> None:
        self.counts.setdefault(table, Counter())[str(name)] += number

    def _sample(self, reason: str, id: str, text: str, more: dict[str, Any]) -> None:
        rank = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        have = self.samples.setdefault(reason, [])
        if len(have) == SAMPLES and rank >= have[-1]["rank"]:
            return
        have.append({"rank": rank, "id": id, "text": text[:SAMPLE_CHARACTERS], **more})
        have.sort(key=lambda sample: (sample["rank"], sample["id"]))
        del have[SAMPLES:]

    def check(self) -> None:
        """LedgerError unless in == kept + dropped."""
        gone = sum(self.dropped.values(), Counter())
        for unit in ("documents", "characters"):
            if self.read[unit] != self.kept[unit] + gone[unit]:
                raise LedgerError(
                    f"{self.read[unit]:,} {unit} came in, but {self.kept[unit]:,} were kept and {gone[unit]:,} dropped"
                )

    def to_json(self) -> dict[str, Any]:
        return {
            "in": _plain(self.read),
            "kept": _plain(self.kept),
            "dropped": {reason: _plain(number) for reason, number in sorted(self.dropped.items())},
            "written": _plain(self.written),
            "counts": {table: dict(sorted(names.items())) for table, names in sorted(self.counts.items())},
            "samples": dict(sorted(self.samples.items())),
        }

    @classmethod
    def merge(cls, parts: Iterable[dict[str, Any]]) -> Ledger:
        """The sum of ledgers as `to_json` gives them."""
        whole = cls()
        for part in parts:
            whole.read += Counter(part["in"])
            whole.kept += Counter(part["kept"])
            whole.written += Counter(part["written"])
            for reason, number in part["dropped"].items():
                whole.dropped.setdefault(reason, Counter()).update(number)
            for table, names in part["counts"].items():
                whole.counts.setdefault(table, Counter()).update(names)
            for reason, samples in part["samples"].items():
                both = [*whole.samples.get(reason, []), *samples]
                whole.samples[reason] = sorted(both, key=lambda sample: (sample["rank"], sample["id"]))[:SAMPLES]
        return whole

    def save(self, path: Path) -> None:
        """Checked, then written whole or not at all."""
        self.check()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Ledger:
        return cls.merge([read_json(path)])

    @property
    def drop_share(self) -> float:
        return 1.0 - self.kept["documents"] / max(self.read["documents"], 1)

    def reasons(self) -> str:
        """`not_english 12, too_short 3`, the most frequent first."""
        order = sorted(self.dropped.items(), key=lambda item: (-item[1]["documents"], item[0]))
        return ", ".join(f"{reason} {number['documents']:,}" for reason, number in order)

    def result(self) -> dict[str, Any]:
        """What a stage's manifest says of it."""
        return {
            "documents": self.written["documents"],
            "characters": self.written["characters"],
            "of_documents": self.read["documents"],
            "dropped": {reason: number["documents"] for reason, number in sorted(self.dropped.items())},
        }


def _plain(number: Counter[str]) -> dict[str, int]:
    return {unit: number[unit] for unit in ("documents", "characters")}
