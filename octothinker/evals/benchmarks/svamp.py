"""SVAMP (Patel et al. 2021): one-step word problems, varied so that surface cues mislead."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import GSM_8_SHOT

BENCHMARK = Benchmark(
    name="svamp",
    source="github.com/arkilpatel/SVAMP",
    rows=1000,
    licence="MIT",
    answer="number",
    prompt=GSM_8_SHOT,
    paper="number",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        body = row.text("Body").rstrip(".")
        yield row.problem(row.text("ID"), f"{body}. {row.text('Question')}", row.text("Answer"), row.text("Type"))
