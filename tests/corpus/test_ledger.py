"""in == kept + dropped, whatever happens; samples that do not depend on tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octothinker.corpus.ledger import SAMPLES, Ledger, LedgerError

outcomes = st.lists(st.tuples(st.text(max_size=8), st.sampled_from(["", "short", "foreign"])), max_size=40)


def record(rows: list[tuple[int, str, str]]) -> Ledger:
    ledger = Ledger()
    for i, text, reason in rows:
        ledger.enter(text)
        if reason:
            ledger.drop(reason, f"d{i}", text)
        else:
            ledger.keep(f"d{i}", text, text.upper())
            ledger.count("year", 2000 + i % 3)
    return ledger


@settings(max_examples=30, deadline=None)
@given(outcomes, st.integers(1, 5))
def test_the_law_holds_and_tasks_do_not_matter(rows: list[tuple[str, str]], tasks: int) -> None:
    numbered = [(i, text, reason) for i, (text, reason) in enumerate(rows)]
    whole = record(numbered)
    whole.check()
    parts = [record(numbered[task::tasks]).to_json() for task in range(tasks)]
    merged = Ledger.merge(reversed(parts))
    assert merged.to_json() == whole.to_json()
    assert merged.read["characters"] == sum(len(text) for _, text, _ in numbered)
    assert all(len(found) == min(SAMPLES, n) for name, found in merged.samples.items()
               for n in [sum(reason == name for _, _, reason in numbered)])  # fmt: skip


def test_a_document_that_vanishes_is_an_error(tmp_path: Path) -> None:
    ledger = record([(0, "abc", ""), (1, "de", "short")])
    ledger.enter("lost")
    with pytest.raises(LedgerError, match="3 documents came in, but 1 were kept and 1 dropped"):
        ledger.save(tmp_path / "ledger.json")
    assert not (tmp_path / "ledger.json").exists()
    half = Ledger()
    half.enter("four")
    half.drop("short", "x", "fou")  # the document is counted, a character of it is not
    with pytest.raises(LedgerError, match="characters"):
        half.check()


def test_reasons_and_result_say_what_happened(tmp_path: Path) -> None:
    ledger = record([(0, "a", ""), (1, "b", "short"), (2, "c", "foreign"), (3, "d", "foreign")])
    assert ledger.reasons() == "foreign 2, short 1"
    assert ledger.drop_share == 0.75
    assert ledger.result() == {
        "documents": 1,
        "characters": 1,
        "of_documents": 4,
        "dropped": {"foreign": 2, "short": 1},
    }
    ledger.save(tmp_path / "ledger.json")
    assert Ledger.load(tmp_path / "ledger.json").to_json() == ledger.to_json()
    assert ledger.samples[""][0]["after"] == "A"
