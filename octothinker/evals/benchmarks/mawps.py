"""MAWPS (Koncel-Kedziorski et al. 2016): short word problems gathered from the web, one to a few operations."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import GSM_8_SHOT

BENCHMARK = Benchmark(
    name="mawps",
    source="four of its parts (addsub, multiarith, singleeq, singleop), as in the paper's evaluation",
    rows=2065,
    licence="unverified",
    answer="number",
    prompt=GSM_8_SHOT,
    paper="number",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("idx"), row.text("input"), row.text("target"), row.text("type"))
