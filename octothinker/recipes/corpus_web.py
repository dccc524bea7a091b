"""The paper's corpus as a recipe (PAPER: MegaMath-Web-Pro-Max): every step, with its inputs as arguments.

    octo corpus build megamath-web --arg pages='crawl/*.warc.gz' --arg tokenizer=meta-llama/Llama-3.2-3B \\
        --arg benchmarks=bench --arg model=my-70b --arg url=http://host:8000/v1

The paper's own values: scores 0 to 5 and positive from 3, a fastText classifier, an LLM's rewrite of what is kept. Ours, where
it says nothing or measured worse: docs/corpus.md and docs/corpus-llm.md have each choice with its figure.
"""

from __future__ import annotations

from octothinker.corpus.annotate import Annotate
from octothinker.corpus.classify import Classifier, Classify
from octothinker.corpus.config import Decontaminate, Tokenise
from octothinker.corpus.llm import LLM
from octothinker.corpus.pages import Web
from octothinker.corpus.recipe import Corpus
from octothinker.corpus.refine import Refine
from octothinker.corpus.synthesise import Synthesise


def megamath_web(
    pages: str,
    tokenizer: str,
    benchmarks: str = "",
    model: str = "",
    url: str = "http://127.0.0.1:8000/v1",
    sample: int = 1_000_000,
    shards: int = 256,
    qa: bool = False,
) -> Corpus:
    """`pages`: archives; `benchmarks`: folder of the test sets to search for ("": no search); `model` and `url`: the chat
    model that annotates and refines ("": neither); `sample`: documents it annotates; `qa`: let it write problems as well."""
    llm = LLM(model=model, url=url) if model else None
    return Corpus(
        name="megamath-web",
        pages={"web": Web(path=pages)},
        shards=shards,
        annotate=Annotate(llm=llm, sample=sample) if llm else None,
        classifier=Classifier() if llm else None,
        classify=Classify() if llm else None,
        decontaminate=Decontaminate(data=benchmarks) if benchmarks else None,
        refine=Refine(llm=LLM(model=model, url=url, max_tokens=4096)) if llm else None,
        synthesise=Synthesise(llm=LLM(model=model, url=url, max_tokens=2048)) if llm and qa else None,
        tokenise=Tokenise(tokenizer=tokenizer),
    )
