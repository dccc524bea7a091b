"""GSM8K (Cobbe et al. 2021): grade school word problems in two to eight steps, written for the set."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import GSM_8_SHOT

BENCHMARK = Benchmark(
    name="gsm8k",
    source="openai/gsm8k, main, test",
    hub="hf://datasets/openai/gsm8k@refs%2Fconvert%2Fparquet/main/test/*.parquet",
    rows=1319,
    licence="MIT",
    answer="number",
    prompt=GSM_8_SHOT,
    paper="number",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for i, row in enumerate(read(file, sha256)):
        answer = row.text("answer").rpartition("####")[2].strip()  # the hub's rows hold the working too
        yield row.problem(i, row.text("question"), answer)
