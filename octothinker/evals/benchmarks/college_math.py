"""College Math (Tang et al. 2024): exercises of nine open college textbooks, algebra to differential equations."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import MINERVA_4_SHOT

BENCHMARK = Benchmark(
    name="college_math",
    source="qq8933/College_Math_Test, test",
    rows=2818,
    licence="CC BY (each book its own version)",
    answer="expression",
    prompt=MINERVA_4_SHOT,
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for i, row in enumerate(read(file, sha256)):
        answer = row.text("answer").replace("$", "")
        yield row.problem(i, row.text("question"), answer, row.text("data_topic").removeprefix("college_math."))
