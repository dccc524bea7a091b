"""OlympiadBench (He et al. 2024), its 675 open-ended English text problems of mathematics.

Where an answer has several parts, they are one list. Golds carry dollars here and there; they are taken off. Units that the
set gives apart are not asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import MINERVA_4_SHOT

BENCHMARK = Benchmark(
    name="olympiad_bench",
    source="Hothan/OlympiadBench, OE_TO_maths_en_COMP (674 problems there)",
    rows=675,
    licence="Apache-2.0 (unverified)",
    answer="expression",
    prompt=MINERVA_4_SHOT,
    paper="olympiad",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for i, row in enumerate(read(file, sha256)):
        answer = ", ".join(row.texts("final_answer")).replace("$", "")
        yield row.problem(f"{i}-{row.text('id')}", row.text("question"), answer, row.text("subfield"))
