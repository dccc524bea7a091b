"""MATH-500: the 500 problems of MATH (Hendrycks et al. 2021) that Lightman et al. 2023 held out; answers are LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import MINERVA

BENCHMARK = Benchmark(
    name="math500",
    source="HuggingFaceH4/MATH-500, test",
    rows=500,
    licence="MIT",
    answer="expression",
    shots=MINERVA,
    shot=(
        "Problem:\n{question}\n\nSolution:\n{working}\n"
        "Final Answer: The final answer is ${answer}$. I hope it is correct.\n\n"
    ),
    ask="Problem:\n{question}\n\nSolution:",
    anchor="final answer is",
    stop=("\nProblem:",),
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("unique_id"), row.text("problem"), row.text("answer"), row.text("level"))
