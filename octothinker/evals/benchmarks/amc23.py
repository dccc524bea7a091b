"""AMC 12 of 2023, 40 problems with whole numbers for answers. Asked zero-shot, as in the paper."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read

BENCHMARK = Benchmark(
    name="amc23",
    source="AI-MO/aimo-validation-amc, 2023",
    rows=40,
    licence="the Mathematical Association of America's; none given",
    answer="number",
    shots=(),
    shot="Q: {question}\nA: {working} The answer is {answer}.\n\n",
    ask="Q: {question}\nA:",
    anchor="answer is",
    stop=("\nQ:",),
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("id"), row.text("question"), row.text("answer"))
