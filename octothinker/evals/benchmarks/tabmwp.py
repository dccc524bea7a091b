"""TabMWP (Lu et al. 2023): word problems over a table; the answer is a number or one of the options in words."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import GSM_8_SHOT

BENCHMARK = Benchmark(
    name="tabmwp",
    source="lupantech/PromptPG, the first 1,000 of the test split, as in the paper's evaluation",
    rows=1000,
    licence="CC BY-NC-SA 4.0",
    answer="number",
    prompt=GSM_8_SHOT,
    paper="table",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        title = f"{row.text('table_title')}\n" if row.fields["table_title"] else ""
        unit = f" (Unit: {row.text('unit')})" if row.fields["unit"] else ""
        question = f"Read this table.\n{title}{row.text('table')}\n{row.text('question')}{unit}"
        if row.fields["choices"]:
            question += f"\nOptions: {' | '.join(row.texts('choices'))}"
        yield row.problem(row.text("id"), question, row.text("answer"), row.text("grade"))
