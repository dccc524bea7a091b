"""The 18 scientific subjects of MMLU (Hendrycks et al. 2021), four choices each."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, choices, read
from octothinker.evals.exemplars import CHOICE_4_SHOT

BENCHMARK = Benchmark(
    name="mmlu_stem",
    source="cais/mmlu, test, 18 subjects",
    rows=3018,
    licence="MIT",
    answer="choice",
    prompt=CHOICE_4_SHOT,
    paper="letter",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(
            row.text("id"), choices(row.text("question"), row.texts("options")), row.text("answer"), row.text("topic")
        )
