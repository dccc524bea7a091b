"""From a corpus recipe to its stages, run by the same machinery as an experiment.

read ─ language ─ filters ─┬─ annotate ─ classifier ─┐
                           └──────── classify ───────┴─ dedup ─ decontaminate ─┬─ refine ─ decontaminate ─ shards.text
problems.<benchmark> ─────────────────────────────────────────── ┘             └─ synthesise ─ decontaminate ─ shards.qa
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from octothinker import order
from octothinker.corpus.ingest import Ingest
from octothinker.corpus.recipe import Corpus
from octothinker.data.stages import ProblemsRun, content_of
from octothinker.evals import benchmarks
from octothinker.runner import Outcome, RunRecord, Watcher, run
from octothinker.stage import External, Stage, external
from octothinker.typed import ConfigError

RECIPE = "corpus.json"
FUNCTIONS = {
    "read": "octothinker.corpus.ingest:ingest_stage",
    "language": "octothinker.corpus.language:language_stage",
    "filters": "octothinker.corpus.filters:filters_stage",
    "annotate": "octothinker.corpus.annotate:annotate_stage",
    "classifier": "octothinker.corpus.classify:classifier_stage",
    "classify": "octothinker.corpus.classify:classify_stage",
    "dedup": "octothinker.corpus.dedup:dedup_stage",
    "decontaminate": "octothinker.corpus.decontaminate:decontaminate_stage",
    "refine": "octothinker.corpus.refine:refine_stage",
    "synthesise": "octothinker.corpus.synthesise:synthesise_stage",
    "tokenise": "octothinker.corpus.tokenise:tokenise_stage",
    "problems": "octothinker.data.stages:problems_stage",
}


class _Builder:
    """Stages in the order in which they were added."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self.stages = corpus, list[Stage]()

    def add(self, kind: str, config: Any, inputs: dict[str, Stage | External], name: str = "") -> Stage:
        if any(f.name == "engine" for f in dataclasses.fields(config)):
            config = dataclasses.replace(config, engine=self.corpus.engine)
        stage = Stage(name=name or kind, kind=kind, fn=FUNCTIONS[kind], config=config, inputs=inputs)
        self.stages.append(stage)
        return stage

    def step(self, kind: str, last: Stage, inputs: dict[str, Stage | External] | None = None, name: str = "") -> Stage:
        """The step of that kind on the documents of `last`, which is handed on where the recipe leaves the step out."""
        config = getattr(self.corpus, kind)
        return last if config is None else self.add(kind, config, {"documents": last, **(inputs or {})}, name)


def expand(corpus: Corpus, cache: Path | None = None) -> list[Stage]:
    """All stages, each after what it needs. `cache`: a file that remembers checksums of the tokenizer's folder."""
    build = _Builder(corpus)
    questions = _questions(corpus, build)
    last = build.add("read", Ingest.of(corpus), {})
    for kind in ("language", "filters"):
        last = build.step(kind, last)
    if corpus.annotate is not None:
        classifier = build.step("classifier", build.step("annotate", last))
        last = build.step("classify", last, {"classifier": classifier})
    last = build.step("dedup", last)
    last = build.step("decontaminate", last, questions)
    ends = {"text": build.step("refine", last)}
    if corpus.synthesise is not None:
        ends["qa"] = build.step("synthesise", last)
    tokenizer = external(corpus.tokenise.tokenizer, cache) if corpus.tokenise else None
    for name, end in ends.items():
        if end is not last:
            end = build.step("decontaminate", end, questions, f"decontaminate.{name}")
        if tokenizer is not None:
            build.step("tokenise", end, {"tokenizer": tokenizer}, f"shards.{name}")
    return build.stages


def _questions(corpus: Corpus, build: _Builder) -> dict[str, Stage | External]:
    """A stage for the questions of each benchmark that texts are searched for."""
    config = corpus.decontaminate
    if config is None:
        return {}
    data = Path(config.data) if config.data else None
    names = config.benchmarks or [name for name in benchmarks.names() if data and benchmarks.available(name, data)]
    if not names:
        raise ConfigError(
            "decontaminate: no benchmark found; name some, or a folder that has them as decontaminate.data"
        )
    found: dict[str, Stage | External] = {}
    for name in names:
        problems = benchmarks.problems(name, data)
        run = ProblemsRun(problems=problems, content=content_of(f"problems.{name}", problems))
        found[f"problems.{name}"] = build.add("problems", run, {}, f"problems.{name}")
    return found


def build_corpus(
    corpus: Corpus, out: Path, watcher: Watcher, only: Sequence[str] = (), argv: Sequence[str] = ()
) -> Outcome:
    """Run what is missing in `out`, one stage at a time (each uses all cores); the same call goes on after a failure."""
    started = time.time()
    stages = expand(corpus, out / "fingerprints.json")
    record = RunRecord(corpus, stages, out, argv, started, RECIPE)
    outcome = run(order.select(stages, only), out, 1, order.cores(), {}, watcher)
    record.close()
    return outcome


def find(spec: str, args: dict[str, Any] | None = None) -> Corpus:
    """The corpus that `spec` names: a recipe, `file.py[:function]` (default: corpus), or corpus.json."""
    from octothinker.recipes import CORPORA, resolve

    spec = f"{spec}:corpus" if spec.endswith(".py") else spec
    return resolve(spec, Corpus, CORPORA, args or {})


def shards_of(out: Path) -> dict[str, Path]:
    """Name -> folder of the finished shards in a corpus's run folder."""
    found = {
        path.parent.name.rpartition("-")[0]: path.parent for path in (out / "stages").glob("shards.*/manifest.json")
    }
    return {name.removeprefix("shards."): folder for name, folder in sorted(found.items())}
