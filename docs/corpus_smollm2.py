"""The whole corpus pipeline with a model of 135M parameters behind it: what it shows is the machinery.

SmolLM2-135M-Instruct hardly ever answers in the form that is asked for, so it is taught that form first, on 64 pages of known
label. Its scores mean little more than that, and its rewrites nothing.

octo corpus extract PAGES.warc.gz --out pages.jsonl
python docs/corpus_smollm2.py pages.jsonl INDEX.jsonl > lessons.jsonl          # rows of `url` and `label` (math, other)
octo midtrain smollm2 --data lessons.jsonl --tokens 32768 --seq-len 512 --batch-size 4 --lr 2e-4 --out runs/annotator
python docs/corpus_smollm2.py --template runs/annotator/stages/midtrain.main.s0-KEY/model
octo serve runs/annotator/stages/midtrain.main.s0-KEY --precision bf16 &        # prints its name
octo corpus build docs/corpus_smollm2.py --arg pages=PAGES.warc.gz --arg tokenizer=smollm2 --arg benchmarks=BENCH \\
    --arg model=NAME --out runs/corpus
octo midtrain smollm2 --data runs/corpus/stages/shards.text-KEY:0.5 --data lessons.jsonl:0.5 --tokens 8192 \\
    --seq-len 512 --batch-size 4 --out runs/corpus-mid
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from octothinker.corpus.annotate import Annotate
from octothinker.corpus.classify import Classifier, Classify
from octothinker.corpus.config import Decontaminate, Tokenise
from octothinker.corpus.llm import LLM
from octothinker.corpus.pages import Web
from octothinker.corpus.recipe import Corpus
from octothinker.corpus.refine import Refine

SHOWN = 600  # characters of a page
SCORE = (
    "Score how useful the page is for learning mathematics, from 0 to 5.\n\n<document>\n{text}\n</document>\n\n"
    "End with `Final score: n`."
)
REWRITE = "Rewrite the text. Keep every fact, number and formula.\n\n{text}"
TEMPLATE = (
    "{% for m in messages %}{{ 'User' if m.role == 'user' else 'Assistant' }}:{{ m.content }}\n{% endfor %}Assistant:"
)


def corpus(
    pages: str, tokenizer: str, benchmarks: str, model: str = "smollm2", url: str = "http://127.0.0.1:8000/v1"
) -> Corpus:
    judge = LLM(model=model, url=url, max_tokens=16)
    writer = LLM(model=model, url=url, max_tokens=400)
    return Corpus(
        name="corpus-smollm2",
        pages={"web": Web(path=pages)},
        annotate=Annotate(llm=judge, instruction=SCORE, sample=200, max_characters=SHOWN, max_unparsed=0.9),
        classifier=Classifier(),
        classify=Classify(threshold=0.999),  # as many pages as are rewritten in minutes
        decontaminate=Decontaminate(data=benchmarks),
        refine=Refine(llm=writer, instruction=REWRITE, chunk_characters=1_000, drop_limit=1.0, max_rejected=1.0),
        tokenise=Tokenise(tokenizer=tokenizer),
    )


def lessons(pages: Path, labels: Path, count: int = 64) -> None:
    """Prints question and answer of the pages with the smallest hash of their address, for octo midtrain."""
    known = {row["url"]: row["label"] for row in map(json.loads, labels.read_text(encoding="utf-8").splitlines())}
    rows = [row for row in map(json.loads, pages.read_text(encoding="utf-8").splitlines()) if row["url"] in known]
    rows.sort(key=lambda row: hashlib.sha256(row["url"].encode()).hexdigest())
    for row in rows[:count]:
        score = 4 if known[row["url"]] == "math" else 0
        question = SCORE.replace("{text}", row["text"][:SHOWN])
        print(json.dumps({"text": f"User:{question}\nAssistant:Final score: {score}"}))


if __name__ == "__main__":
    if sys.argv[1] == "--template":
        (Path(sys.argv[2]) / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    else:
        lessons(Path(sys.argv[1]), Path(sys.argv[2]))
