"""GPQA (Rein et al. 2023), the diamond set: graduate physics, chemistry and biology, four choices in an order of our own.

Its authors ask that it be shown nowhere in plain text: it is gated, comes from the hub only, and its outputs belong in no
public place either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, choices, read
from octothinker.evals.exemplars import CHOICE_4_SHOT

BENCHMARK = Benchmark(
    name="gpqa",
    source="Idavidrein/gpqa, gpqa_diamond (gated)",
    hub="hf://datasets/Idavidrein/gpqa@refs%2Fconvert%2Fparquet/gpqa_diamond/train/*.parquet",
    rows=198,
    licence="CC BY 4.0, with a canary",
    answer="choice",
    prompt=CHOICE_4_SHOT,
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    """The order of the choices is that of their hashes: the same for everyone, and right answers in every place."""
    for row in read(file, sha256):
        question, right = row.text("Question"), row.text("Correct Answer")
        options = [right, *(row.text(f"Incorrect Answer {i}") for i in (1, 2, 3))]
        options.sort(key=lambda option: hashlib.sha256(f"{question}\0{option}".encode()).digest())
        letter = "ABCD"[options.index(right)]
        yield row.problem(row.text("Record ID"), choices(question, options), letter, row.text("High-level domain"))
