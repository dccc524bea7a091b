"""Are test problems in the training texts? n-gram overlap, with the matched text as evidence.

    benchmark questions --normalise--> n-grams of words (a dict from their hash to the problems) <-- every text, word by word

Two kinds of match. `exact`: the question, but for case, spaces and sizes in formulas, is the text or stands in it. Otherwise
a run of n words in common: 13 is what most published checks take, 8 finds more, and more false ones. Questions shorter than
n words can only match exactly, and options after a question are left out. A run that stands in more than three questions
is boilerplate ("where m and n are relatively prime positive integers"), no evidence for any of them. Only n-grams of
questions are kept, so a corpus of any size streams through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")
_OPTIONS = re.compile(r"\n(?:Answer choices|Options): ")
_SIZES = re.compile(r"\\(?:left|right|displaystyle|[dt]?frac|,|!|;|quad)|~|\\ ")
BOILERPLATE = 3  # MATH and MATH500 share problems, some stand in MMLU too
SHORT = 8
"""A question of fewer words counts as exact only if it is the whole text: `what is 2 + 3` stands anywhere."""


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; operators, brackets, punctuation and sizes in formulas do not count."""
    return _WORD.findall(_SIZES.sub(" ", text).lower())


def question_words(question: str) -> list[str]:
    """The words of what is asked: options after it stand in no text that quotes it."""
    return words(_OPTIONS.split(question)[0])


def squash(text: str) -> str:
    return re.sub(r"\s+", "", _SIZES.sub(" ", text)).lower().rstrip(".?")


@dataclass(frozen=True)
class Match:
    set: str
    problem: str
    """The benchmark's id of it."""
    where: str
    """The text that holds it."""
    exact: bool
    text: str
    """The words in common, normalised: the first run of them."""


class Index:
    """The n-grams of all questions of some benchmarks: {set: [(id, question)]}."""

    def __init__(self, sets: Mapping[str, Sequence[tuple[str, str]]], n: int = 13) -> None:
        self.n = n
        self.problems: list[tuple[str, str, str]] = []
        self.grams: dict[tuple[str, ...], list[int]] = {}
        self.starts: dict[tuple[str, ...], list[int]] = {}
        self.whole: dict[str, list[int]] = {}
        for name, rows in sets.items():
            for problem, question in rows:
                asked = _OPTIONS.split(question)[0]
                i, tokens, squashed = len(self.problems), tuple(words(asked)), squash(asked)
                self.problems.append((name, problem, squashed))
                self.whole.setdefault(squashed, []).append(i)
                if len(tokens) >= SHORT:
                    self.starts.setdefault(tokens[:SHORT], []).append(i)
                for gram in {tokens[j : j + n] for j in range(len(tokens) - n + 1)}:
                    self.grams.setdefault(gram, []).append(i)
        self.grams = {gram: found for gram, found in self.grams.items() if len(found) <= BOILERPLATE}

    def matches(self, text: str) -> dict[int, tuple[bool, str]]:
        """Problem -> (exact, words in common); one entry a problem, exact ones first."""
        tokens, squashed = tuple(words(text)), squash(text)
        found = {i: (True, " ".join(tokens)) for i in self.whole.get(squashed, ()) if squashed}
        for j in range(len(tokens) - SHORT + 1):
            for i in self.starts.get(tokens[j : j + SHORT], ()):
                if i not in found and self.problems[i][2] in squashed:
                    found[i] = (True, self.problems[i][2])
        for j in range(len(tokens) - self.n + 1):
            for i in self.grams.get(tokens[j : j + self.n], ()):
                if i not in found:
                    found[i] = (False, " ".join(tokens[j : j + self.n]))
        return found


def find(index: Index, texts: Iterable[tuple[str, str]]) -> Iterator[Match]:
    """Every (text, problem) pair that matches; `texts` are pairs (where it stands, the text)."""
    for where, text in texts:
        for i, (exact, common) in index.matches(text).items():
            yield Match(index.problems[i][0], index.problems[i][1], where, exact, common)
