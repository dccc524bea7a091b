"""How well and how fast the corpus's own steps do: near-duplicates, contamination, tokens, cost of growth, kill and resume.

`octo bench corpus [PART …]`. Every row has the figure, what was asked for, and how it was made; speeds are per second of CPU
time of one process, beside what they are compared with in the same run. What needs data of yours (benchmarks, a tokenizer,
labelled documents) is left out by name without it.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from octothinker.bench import corpus_runs
from octothinker.corpus.config import Decontaminate, Dedup
from octothinker.corpus.decontaminate import Coverage
from octothinker.corpus.filters import FilterJudge, Words
from octothinker.corpus.flow import documents, shards
from octothinker.corpus.minhash import Clusters, cluster, fingerprint, signatures
from octothinker.data.problems import read_problems
from octothinker.evals import benchmarks
from octothinker.model.tokenizer import Tokenizer
from octothinker.recipes.nano_problems import library_prose
from octothinker.typed import ConfigError

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    smoke: bool = False
    """Tiny sizes: does everything run?"""
    data: Path | None = None
    """Folder with benchmarks."""
    documents: Path | None = None
    """Folder of shards; for the filters, with metadata.label."""
    tokenizer: Path | None = None


def row(what: str, value: float | str, reach: str, how: str) -> Row:
    return {"what": what, "value": value, "reach": reach, "how": how}


def missing(what: str, needs: str) -> list[Row]:
    return [row(what, "not measured", "", f"needs {needs}")]


def prose(smoke: bool) -> list[str]:
    """The documentation of Python's library."""
    return [page["text"] for page in library_prose(200_000 if smoke else 4_000_000)]


# ---- dedup -----------------------------------------------------------------------------------------------------------


def dedup(setting: Setting) -> list[Row]:
    """Documents of words drawn from Python's documentation, and copies with words replaced: the truth is known."""
    rng, count = random.Random(0), 400 if setting.smoke else 8000
    vocabulary = list(Counter(re.findall(r"\w+", " ".join(prose(setting.smoke)))).elements())
    bases = [rng.choices(vocabulary, k=rng.randint(60, 400)) for _ in range(count)]
    family, texts = list(range(count)), list(bases)
    for _ in range(count + count // 2):
        of, rate = rng.randrange(count), rng.choice([0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1])
        texts.append([rng.choice(vocabulary) if rng.random() < rate else word for word in bases[of]])
        family.append(of)
    joined = [" ".join(words) for words in texts]
    config, began = Dedup(), time.process_time()
    hashes = config.bands * config.rows
    parts = [signatures(joined[i : i + 500], config.shingle, hashes, 1) for i in range(0, len(joined), 500)]
    for text in joined:
        fingerprint(text)
    found, clusters = np.concatenate(parts), Clusters(len(joined))
    cluster(lambda rows: found[rows], np.arange(len(joined)), clusters, config.bands, config.rows, config.threshold)
    seconds, roots = time.process_time() - began, clusters.roots()
    together: dict[int, list[bool]] = {}
    for i in range(count, len(texts)):
        together.setdefault(int(10 * _jaccard(texts[i], bases[family[i]], config.shingle)), []).append(
            bool(roots[i] == roots[family[i]])
        )
    high = [hit for band, hits in together.items() if band >= 8 for hit in hits]
    below = {f".{band}": f"{np.mean(hits):.3f}" for band, hits in sorted(together.items()) if band < 8}
    false = sum(family[i] != family[roots[i]] for i in range(len(texts)))
    made = f"{len(texts):,} documents, {sum(map(len, joined)) / 1e6:.0f} MB; {config.bands} bands of {config.rows}"
    return [
        row("near-duplicates found, Jaccard >= .8", float(np.mean(high)), ">= .99", f"{len(high):,} pairs; {below=}"),
        row("merges across families", float(false), "0", made),
        row("dedup, documents a CPU second", len(texts) / seconds, ">= 5000", made),
    ]


def _jaccard(a: list[str], b: list[str], n: int) -> float:
    x, y = ({tuple(w.lower() for w in words[i : i + n]) for i in range(len(words) - n + 1)} for words in (a, b))
    return len(x & y) / len(x | y)


# ---- contamination ---------------------------------------------------------------------------------------------------


def decontaminate(setting: Setting) -> list[Row]:
    """Questions planted in clean documents, whole and with words replaced."""
    if setting.data is None:
        return missing("decontamination", "--data FOLDER with benchmarks")
    names = [name for name in benchmarks.names() if benchmarks.available(name, setting.data)]
    sets = {n: [(p.id, p.question) for p in read_problems(benchmarks.problems(n, setting.data))] for n in names}
    if setting.smoke:
        sets = {name: rows[:50] for name, rows in sets.items()}
    rng = random.Random(0)
    files = shards(setting.documents) if setting.documents else []
    clean = [doc.text for file in files for doc in documents(file)] + _pieces(prose(setting.smoke))
    clean = rng.sample(clean, min(len(clean), 100 if setting.smoke else 4000))
    began = time.process_time()
    index = Coverage(sets, Decontaminate())
    built, began = time.process_time() - began, time.process_time()
    flagged = [hit for text in clean for hit in index.find(text)[:1]]
    seconds = time.process_time() - began
    everyone = [(name, problem, question) for name, rows in sets.items() for problem, question in rows]
    planted = rng.sample(everyone, min(len(everyone), 50 if setting.smoke else 1000))
    vocabulary = " ".join(clean[:200]).split()
    rows = []
    for noise, reach in ((0.0, ">= .97"), (0.02, ">= .96"), (0.1, ">= .77")):
        hits = sum(_planted(question, rng.choice(clean), noise, rng, vocabulary, index) for _, _, question in planted)
        rows.append(row(f"decontamination recall, {noise:.0%} of words replaced", hits / len(planted), reach,
                        f"{len(planted)} questions of {len(names)} benchmarks in clean documents"))  # fmt: skip
    shown = "; ".join(f"{hit.set} {hit.problem}: {hit.text[:60]}" for hit in flagged[:3])
    rows.append(
        row("clean documents flagged", len(flagged) / len(clean), "<= .001", f"{len(flagged)} of {len(clean)}. {shown}")
    )
    size = sum(map(len, clean)) / 1e6
    rows.append(row("decontamination, documents a CPU second", len(clean) / seconds, "",
                    f"{size:.0f} MB; index of {len(index.problems):,} questions in {built:.1f} s; "
                    f"{index.too_short} questions too short to see"))  # fmt: skip
    return rows


def _pieces(texts: Sequence[str], words: int = 600) -> list[str]:
    cut = [text.split() for text in texts]
    return [" ".join(text[i : i + words]) for text in cut for i in range(0, len(text), words)]


def _planted(question: str, host: str, noise: float, rng: random.Random, words: list[str], index: Coverage) -> bool:
    """Whether the question is found in the host; the host's own hits do not count."""
    changed = " ".join(rng.choice(words) if rng.random() < noise else word for word in question.split())
    at = rng.randrange(len(host) + 1)
    own = {(hit.set, hit.problem) for hit in index.find(host)}
    return any((hit.set, hit.problem) not in own for hit in index.find(f"{host[:at]}\n{changed}\n{host[at:]}"))


# ---- tokens ----------------------------------------------------------------------------------------------------------


def tokenise(setting: Setting) -> list[Row]:
    """gigatoken and tokenizers on the same documents, every id compared."""
    if setting.tokenizer is None:
        return missing("tokenising", "--tokenizer FOLDER that gigatoken can read")
    from octothinker.corpus.tokenise import FastTokenizer

    reference = Tokenizer.load(setting.tokenizer)
    try:
        fast = FastTokenizer(setting.tokenizer, reference, check_every=1 << 60)
    except ValueError as error:
        return missing("tokenising", f"a tokenizer that gigatoken can read ({error})")
    fast.encode_batch(["0"])  # loads what decodes its answers
    fast.renew()
    fast.seen = 1 << 59  # the comparison is ours to make
    files = shards(setting.documents) if setting.documents else []
    texts = [doc.text for file in files for doc in documents(file)] + _pieces(prose(setting.smoke))
    texts = texts[:200] if setting.smoke else texts
    size = sum(len(text.encode()) for text in texts) / 1e6
    began = time.process_time()
    found = fast.encode_batch(texts)
    ours, began = size / (time.process_time() - began), time.process_time()
    expected = reference.encode_batch(texts)
    theirs = size / (time.process_time() - began)
    same = sum(a.tolist() == b for a, b in zip(found, expected, strict=True))
    how = f"{len(texts):,} documents, {size:.0f} MB, a new tokenizer without a cache"
    return [
        row("tokenising, MB a CPU second", ours, ">= 25", f"{how}; tokenizers {theirs:.1f}, ratio {ours / theirs:.1f}"),
        row("documents with identical ids", same / len(texts), "1", how),
    ]


# ---- filters ---------------------------------------------------------------------------------------------------------


def filters(setting: Setting) -> list[Row]:
    """What each rule of the library drops of pages about mathematics, and of the others."""
    if setting.documents is None:
        return missing("filters", "--documents FOLDER of shards with metadata.label")
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

    from octothinker.corpus.config import Filters

    found = [doc for file in shards(setting.documents) for doc in documents(file)]
    found = list(islice(found, 20 if setting.smoke else 300))
    words: Any = Words()
    judge = FilterJudge(Filters())
    rules: dict[str, Callable[[Any], bool]] = {
        "Gopher repetition, lines": lambda d: (
            GopherRepetitionFilter(language=words, top_n_grams=(), dup_n_grams=()).filter(d) is True
        ),
        "Gopher repetition, all": lambda d: GopherRepetitionFilter(language=words).filter(d) is True,
        "Gopher quality": lambda d: GopherQualityFilter(language=words).filter(d) is True,
        "FineWeb quality": lambda d: FineWebQualityFilter(language=words).filter(d) is True,
        "ours": lambda d: judge(d) is None,
    }
    rows = []
    for name, keeps in rules.items():
        began = time.process_time()
        kept = [(doc.metadata.get("label", "all"), keeps(doc)) for doc in found]
        speed = sum(len(doc.text) for doc in found) / 1e6 / (time.process_time() - began)
        for label in sorted({label for label, _ in kept}):
            mine = [keep for which, keep in kept if which == label]
            share, how = 1 - sum(mine) / len(mine), f"{len(mine)} pages, {speed:.1f} MB/s"
            rows.append(row(f"{name}: {label} pages dropped", share, "", how))
    return rows


# ---- whole runs ------------------------------------------------------------------------------------------------------


def growth(setting: Setting) -> list[Row]:
    """The whole corpus at 1x, 4x and 16x the documents: CPU time beyond start-up, and the largest process."""
    small, sizes = (40, (1, 2)) if setting.smoke else (500, (1, 4, 16))
    with tempfile.TemporaryDirectory(prefix="octo-corpus-") as folder:
        runs = [corpus_runs.measured(Path(folder), size * small, str(size)) for size in sizes]
    rows = []
    for size, (seconds, peak, stage) in zip(sizes, runs, strict=True):
        value = f"{seconds:.1f}, {peak:.0f}"
        rows.append(
            row(f"corpus at {size}x: CPU seconds, peak MB", value, "", f"{size * small} documents; largest: {stage}")
        )
    if len(sizes) == 3:
        slope = (runs[2][0] - runs[1][0]) / 12 / ((runs[1][0] - runs[0][0]) / 3)
        rows.append(row("cost of a document, 4x to 16x over 1x to 4x", slope, "1", "start-up costs left out"))
        rows.append(row("peak memory, 16x over 1x", runs[2][1] / runs[0][1], "1", "the largest process"))
    return rows


def kill(setting: Setting) -> list[Row]:
    """kill -9 in the middle of every stage, then resume: the same bytes as a run left alone?"""
    with tempfile.TemporaryDirectory(prefix="octo-corpus-") as folder:
        here = Path(folder)
        corpus = corpus_runs.recipe(here / "in", 60 if setting.smoke else 600)
        corpus_runs.whole(corpus, here / "alone")
        kills, stages = corpus_runs.killed(corpus, here / "killed")
        different = corpus_runs.differences(here / "alone", here / "killed")
    how = f"{kills} kills that landed in {stages} stages" + (f"; differ: {different}" if different else "")
    return [row("killed and resumed: files that differ", float(len(different)), "0", how)]


PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    "dedup": dedup,
    "decontaminate": decontaminate,
    "tokenise": tokenise,
    "filters": filters,
    "growth": growth,
    "kill": kill,
}


def run(parts: Sequence[str], setting: Setting, say: Callable[[str], None]) -> list[Row]:
    """The rows of these parts (all when there is none), in order."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"bench corpus: no part {unknown[0]!r}; there is: {', '.join(PARTS)}")
    rows = []
    for name in parts or PARTS:
        say(name)
        rows += PARTS[name](setting)
    return rows
