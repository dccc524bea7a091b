"""MathQA (Amini et al. 2019): 1,000 of its test problems, with five choices. Some golds are known to be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, choices, read
from octothinker.evals.exemplars import CHOICE_4_SHOT

BENCHMARK = Benchmark(
    name="mathqa",
    source="allenai/math_qa, test: the 1,000 of DeepSeekMath's evaluation",
    rows=1000,
    licence="Apache-2.0",
    answer="choice",
    prompt=CHOICE_4_SHOT,
    paper="letter",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for i, row in enumerate(read(file, sha256)):
        options = [option.strip(" ,") for option in re.split(r"(?:^|[\s,])[a-e] \) ", row.text("options"))[1:]]
        yield row.problem(i, choices(row.text("problem"), options), row.text("correct").upper(), row.text("type"))
