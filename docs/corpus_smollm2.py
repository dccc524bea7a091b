"""The whole corpus pipeline with a model of 135M parameters behind it. Its scores and rewrites are worth nothing (scores are
drawn at temperature 1, so that both labels occur): what this shows is the machinery.

octo serve smollm2 --precision bf16 &
octo corpus build docs/corpus_smollm2.py --arg pages=PAGES.warc.gz --arg tokenizer=smollm2 --arg benchmarks=BENCH \\
    --out runs/corpus
octo midtrain smollm2 --data runs/corpus/stages/shards.text-KEY --tokens 40960 --out runs/corpus-mid
"""

from __future__ import annotations

from octothinker.corpus.annotate import Annotate
from octothinker.corpus.classify import Classifier, Classify
from octothinker.corpus.config import Decontaminate, Tokenise
from octothinker.corpus.llm import LLM
from octothinker.corpus.pages import Web
from octothinker.corpus.recipe import Corpus
from octothinker.corpus.refine import Refine

SCORE = """{text}

The text above is a page of the web. Is it good for learning mathematics? Give it a score from 0 (no mathematics) to 5
(an excellent lesson). Answer with one line of exactly this form, n being the score:
Final score: n"""
REWRITE = """Rewrite the text below. Keep every fact, number and formula. Output the rewritten text alone.

{text}"""


def corpus(
    pages: str, tokenizer: str, benchmarks: str, model: str = "smollm2", url: str = "http://127.0.0.1:8000/v1"
) -> Corpus:
    judge = LLM(model=model, url=url, temperature=1.0, max_tokens=40)
    return Corpus(
        name="corpus-smollm2",
        pages={"web": Web(path=pages)},
        annotate=Annotate(llm=judge, instruction=SCORE, sample=120, max_characters=1_500, max_unparsed=1.0),
        classifier=Classifier(choose="fixed", threshold=0.8),
        classify=Classify(),
        decontaminate=Decontaminate(data=benchmarks),
        refine=Refine(
            llm=LLM(model=model, url=url, max_tokens=400),
            instruction=REWRITE,
            chunk_characters=1_000,
            drop_limit=1.0,
            max_rejected=1.0,
        ),
        tokenise=Tokenise(tokenizer=tokenizer),
    )
