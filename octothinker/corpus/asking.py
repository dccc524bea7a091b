"""One step whose judge asks a chat model: flow.sift, with the answers.

    <input>/00000.jsonl.zst ─ questions(document) ─ Client ─ judge(document, answers) ─> <out>/00000.jsonl.zst, ledger

One process: the work is the server's. A step that is started again pays for nothing a second time, so it simply begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datatrove.data import Document

from octothinker.corpus.flow import _brief, documents, note_kept, settle, shards, writer
from octothinker.corpus.ledger import TASKS, Ledger
from octothinker.corpus.llm import LLM, Answer, Ask, Client
from octothinker.records import Progress

Questions = Callable[[Document], list[Ask]]
"""What is asked about a document; an empty list: nothing, the judge is called all the same."""
Verdict = Callable[[Document, list[Answer]], "str | None"]
"""None: the document is kept, changed or not; else why it is dropped."""


def interview(
    llm: LLM, questions: Questions, verdict: Verdict, source: Path, out: Path, drop_limit: float
) -> dict[str, Any]:
    """Ask about every document in `source`; returns the stage's result, with what was spent."""
    with Client(llm, out) as client:
        files = shards(source)
        estimate = client.start(ask for file in files for document in documents(file) for ask in questions(document))
        progress = Progress(out, estimate.requests + estimate.cached, "answers")
        for task, file in enumerate(files):
            ledger = Ledger()
            with writer(out) as write:
                for document, answers in client.answers((d, questions(d)) for d in documents(file)):
                    if _enter(ledger, document, answers, verdict):
                        write.write(document, rank=task)
                    progress.update(client.done, spent=client.spent.cost)
            ledger.save(out / TASKS / f"{task:05d}.json")
        return {**settle(out, len(files), drop_limit, source), "model": llm.model, "spent": asdict(client.spent)}


def _enter(ledger: Ledger, document: Document, answers: list[Answer], verdict: Verdict) -> bool:
    """Whether it is kept, after it went into the ledger."""
    before = document.text
    ledger.enter(before)
    lost = next((answer.failed for answer in answers if answer.failed), None)
    reason = f"failed_{lost}" if lost else verdict(document, answers)
    if reason is None:
        note_kept(ledger, document, before)
    else:
        said = [answer.text[:500] for answer in answers[:3]]
        ledger.drop(reason, document.id, before, metadata=_brief(document.metadata), answers=said)
    return reason is None
