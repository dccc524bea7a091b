"""A fastText classifier learnt from annotated documents, measured on sites it has not seen, and the step that uses it.

    annotated ─ prepare ─┬─ folds by site: train on the others, score this one ─ table, calibration, threshold ─┐
                         └─ train on all ────────────────────────────────────── classifier.bin, classifier.json ┘
    documents ─ prepare ─ classifier ─ p >= threshold? ─> documents with metadata.score

Pages of one site are alike, so a random split measures how well a site is recognised; a split by site measures what the
classifier is for.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from datatrove.data import Document

from octothinker.corpus import calibration
from octothinker.corpus.config import Engine
from octothinker.corpus.flow import documents, shards, sift
from octothinker.corpus.ledger import LEDGER, Ledger
from octothinker.corpus.prepare import Preparation, prepare
from octothinker.records import read_json, write_json
from octothinker.typed import ConfigError, check, from_json, not_identity, to_json, version

MODEL, REPORT = "classifier.bin", "classifier.json"
YES, NO = "__label__yes", "__label__no"


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """How to train, and how to choose the threshold. The paper gives no hyper-parameters."""

    positive: float = 3.0
    """Smallest metadata.score of a positive example."""
    preparation: Preparation = "symbols"
    """Which of the two is better depends on the pages: docs/corpus-llm.md."""
    sublinear_tf: bool = True
    """A repeated token counts by the logarithm of how often (corpus/prepare.py)."""
    characters: int = 10_000
    """Of a document that are looked at."""
    dim: int = 64
    lr: float = 0.5
    epochs: int = 25
    word_ngrams: int = 1
    bucket: int = 200_000
    """Hash buckets of the word n-grams. fastText's own 2 million make a model of gigabytes."""
    folds: int = 5
    """Parts by site, each scored by a model of the others; never more than there are sites."""
    choose: calibration.Rule = "recall_at_precision"
    min_precision: float = 0.9
    threads: int = 1
    """More are faster and never give the same model twice."""
    seed: int = 0

    def __post_init__(self) -> None:
        check(self.folds >= 2, f"classifier.folds={self.folds} must be at least 2")

    def line(self, text: str) -> str:
        """What fastText sees of a text, in training as in use."""
        return prepare(text, self.preparation, self.characters, self.sublinear_tf)


@dataclass(frozen=True, kw_only=True)
class Classify:
    """Keeps what the classifier finds useful."""

    threshold: float | None = None
    """None: the one that was chosen when it was trained; .4 is the paper's, for its own annotator and corpus."""
    drop_limit: float = not_identity(1.0)
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})


@dataclass(frozen=True)
class Example:
    """One labelled document, prepared."""

    id: str
    site: str
    label: bool
    line: str


def site_of(metadata: Mapping[str, Any]) -> str:
    """The metadata's `site`, else the host of its `url`, else its `source`; documents without any are one site."""
    try:
        host = urlsplit(str(metadata.get("url") or "")).hostname or ""
    except ValueError:  # http://[half an address
        host = ""
    return str(metadata.get("site") or host.removeprefix("www.") or metadata.get("source") or "unknown")


def split(examples: Sequence[Example], folds: int, seed: int) -> list[int]:
    """The fold of each example: a site is in one fold, and the folds are of like size."""
    sizes = Counter(example.site for example in examples)
    load, place = [0] * min(folds, len(sizes)), dict[str, int]()
    for site in sorted(sizes, key=lambda site: (-sizes[site], _hash(f"{seed}\0{site}"))):
        place[site] = load.index(min(load))
        load[place[site]] += sizes[site]
    return [place[example.site] for example in examples]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def fasttext() -> Any:
    """The module; several packages own this name, and only one trains soundly with numpy 2."""
    try:
        import fasttext
    except ModuleNotFoundError as error:
        raise ConfigError("the classifier needs fastText: pip install 'octothinker[corpus]'") from error
    if not hasattr(fasttext, "train_supervised"):
        raise ConfigError(
            "this fasttext cannot train (fasttext-predict?): pip install --force-reinstall fasttext-community"
        )
    return fasttext


def train(examples: Iterable[Example], config: Classifier) -> Any:
    """A fastText model. The order of the examples does not matter: they are taken in the order of their hashes."""
    rows = sorted(examples, key=lambda example: _hash(f"{config.seed}\0{example.id}"))
    check(len({row.label for row in rows}) == 2, "the classifier needs positive and negative examples to learn from")
    with tempfile.TemporaryDirectory(prefix="octo-fasttext-") as folder:
        file = Path(folder) / "train.txt"
        with open(file, "w", encoding="utf-8") as lines:
            lines.writelines(f"{YES if row.label else NO} {row.line}\n" for row in rows)
        return fasttext().train_supervised(
            input=str(file),
            dim=config.dim,
            lr=config.lr,
            epoch=config.epochs,
            wordNgrams=config.word_ngrams,
            bucket=config.bucket,
            thread=config.threads,
            seed=config.seed,
            verbose=0,
        )


def probability(model: Any, line: str) -> float:
    """That a prepared document is positive; 0 for one without a token."""
    labels, found = model.predict(line, k=2) if line else ((), ())
    return min(dict(zip(labels, map(float, found), strict=True)).get(YES, 0.0), 1.0)


def held_out(examples: Sequence[Example], config: Classifier) -> tuple[list[int], list[float]]:
    """(fold, probability) of each example, scored by a model that has seen no page of its site."""
    sites = {example.site for example in examples}
    check(len(sites) >= 2, f"a split by site needs two sites; all examples are of {next(iter(sites), 'none')!r}")
    folds = split(examples, config.folds, config.seed)
    found = [0.0] * len(examples)
    for fold in sorted(set(folds)):
        model = train((e for e, other in zip(examples, folds, strict=True) if other != fold), config)
        for i, example in enumerate(examples):
            if folds[i] == fold:
                found[i] = probability(model, example.line)
    return folds, found


def measure(examples: Sequence[Example], config: Classifier) -> dict[str, Any]:
    """All that is said of a classifier: at every threshold, calibration, the threshold chosen and why, by site.

    `held_out` is the honest line: each fold at the threshold that the *other* folds would have chosen.
    """
    folds, p = held_out(examples, config)
    y = [example.label for example in examples]

    def chosen(picked: Sequence[int]) -> tuple[float, str]:
        rows = calibration.table([p[i] for i in picked], [y[i] for i in picked])
        return calibration.choose(rows, config.choose, config.min_precision)

    decided = [0.0] * len(p)
    for fold in set(folds):
        threshold, _ = chosen([i for i, other in enumerate(folds) if other != fold])
        for i, other in enumerate(folds):
            if other == fold:
                decided[i] = float(p[i] >= threshold)
    threshold, reason = chosen(range(len(p)))
    bins = calibration.reliability(p, y)
    sites = {site: dict.fromkeys(("documents", "positive", "right"), 0) for site in sorted({e.site for e in examples})}
    for example, score in zip(examples, p, strict=True):
        site = sites[example.site]
        site["documents"] += 1
        site["positive"] += example.label
        site["right"] += (score >= threshold) == example.label
    return {
        "documents": len(y),
        "positive": sum(y),
        "threshold": threshold,
        "reason": reason,
        "held_out": {key: value for key, value in calibration.at(0.5, decided, y).items() if key != "threshold"},
        "f1_interval": calibration.f1_interval(decided, y, [example.site for example in examples]),
        "table": calibration.table(p, y),
        "reliability": bins,
        "ece": calibration.expected_error(bins),
        "sites": sites,
    }


@version(2)
def classifier_stage(config: Classifier, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`, with metadata.score. Writes classifier.bin and classifier.json."""
    examples = []
    for file in shards(inputs["documents"]):
        for document in documents(file):
            score = document.metadata.get("score")
            if not isinstance(score, (int, float)) or isinstance(score, bool):
                raise ConfigError(f"{file}: document {document.id!r} has no metadata.score; is it annotated?")
            line = config.line(document.text)
            examples.append(Example(document.id, site_of(document.metadata), score >= config.positive, line))
    found = measure(examples, config)
    train(examples, config).save_model(str(out / MODEL))
    write_json(out / REPORT, {"config": to_json(config), **found})
    return {
        key: found[key] for key in ("documents", "positive", "threshold", "reason", "held_out", "f1_interval", "ece")
    }


class ClassifierJudge:
    """Notes the probability as metadata.score; drops what is below the threshold. Picklable: processes load it anew."""

    def __init__(self, folder: Path, threshold: float | None) -> None:
        self.file = str(folder / MODEL)
        report = read_json(folder / REPORT)
        self.config = from_json(Classifier, report["config"], REPORT)
        self.threshold = float(report["threshold"]) if threshold is None else threshold

    @cached_property
    def model(self) -> Any:
        return fasttext().load_model(self.file)

    def __call__(self, document: Document) -> str | None:
        line = self.config.line(document.text)
        score = probability(self.model, line)
        document.metadata["score"] = round(score, 4)
        return None if score >= self.threshold else "below_threshold"


@version(2)
def classify_stage(config: Classify, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`, `classifier`. Keeps what reaches the threshold; `yield` is the share kept of each year."""
    judge = ClassifierJudge(inputs["classifier"], config.threshold)
    result = sift(judge, inputs["documents"], out, config.engine, config.drop_limit)
    return {**result, "threshold": judge.threshold, "yield": yields(inputs["documents"], out)}


def yields(source: Path, out: Path) -> dict[str, float]:
    """Share of each year's documents that were kept, from the ledgers of the step before and of this one."""
    if not (source / LEDGER).exists():
        return {}
    before = Ledger.load(source / LEDGER).counts.get("year", Counter())
    after = Ledger.load(out / LEDGER).counts.get("year", Counter())
    return {year: after[year] / n for year, n in sorted(before.items()) if n}
