"""MATH-500: the 500 problems of MATH (Hendrycks et al. 2021) that Lightman et al. 2023 held out; answers are LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import MINERVA_4_SHOT

BENCHMARK = Benchmark(
    name="math500",
    source="HuggingFaceH4/MATH-500, test",
    hub="hf://datasets/HuggingFaceH4/MATH-500@main/test.jsonl",
    rows=500,
    licence="MIT",
    answer="expression",
    prompt=MINERVA_4_SHOT,
    paper="math",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("unique_id"), row.text("problem"), row.text("answer"), row.text("level"))
