"""Which tokens are in batch `step`: a pure function of shards, weights, lengths, seed and step.

    global row r = step * batch_size + i  ->  (source, its k-th row)            blend: within one row of every weight
    k-th row of a source                  ->  tokens k*T … k*T + T of its stream
    stream of a source                    =   epoch 0, epoch 1, …               all documents, shuffled anew each epoch

Nothing is kept but a cache, so resuming needs the step only, and rank i of n takes rows i, i+n, … of the global batch.
Every token of a stream is an input exactly once; a row's last target is the token after it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from octothinker.data.shards import Shards
from octothinker.typed import check, digest

PERIOD = 100_000  # the order of sources repeats after at most this many rows: shares of up to five decimals are exact
VERSION = 1  # raised when the same plan gives other batches
IGNORED = -100  # target of a position whose next token belongs to another document


@dataclass(frozen=True)
class Batch:
    """Rows of one rank, each (b, T) int64."""

    inputs: torch.Tensor
    targets: torch.Tensor
    """The next token; IGNORED at the end of each document."""
    segments: torch.Tensor
    """Which document of its row a token belongs to, from 0."""

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.inputs.to(device), self.targets.to(device), self.segments.to(device))


class Mixture:
    def __init__(
        self, shards: dict[str, Shards], weights: dict[str, float], seq_len: int, batch_size: int, seed: int | str
    ) -> None:
        """`weights` sum to 1; a source of weight 0 needs no shards.

        Two stages that share a source should differ in `seed`: the second sees the first one's documents again, in the
        same order, otherwise.
        """
        check(seq_len > 0 and batch_size > 0, f"seq_len={seq_len} and batch_size={batch_size} must be positive")
        check(
            min(weights.values(), default=-1) >= 0 and abs(sum(weights.values()) - 1) < 1e-6,
            f"mixture: shares must be 0 or more and sum to 1, got {weights}",
        )
        self.weights, self.seq_len, self.batch_size, self.seed = weights, seq_len, batch_size, seed
        self.names = sorted(name for name, weight in weights.items() if weight > 0)  # in a recipe order has no meaning
        for name in self.names:
            check(name in shards, f"mixture: no shards of {name!r}")
        self.shards = {name: shards[name] for name in self.names}
        tokenizers = {name: s.tokenizer for name, s in self.shards.items()}
        check(len(set(tokenizers.values())) == 1, f"mixture: shards of different tokenizers: {tokenizers}")
        self._streams = [_Stream(self.shards[name], f"{seed}/{name}") for name in self.names]
        self._order = blend([weights[name] for name in self.names])  # (period,) index of the source of each row
        drawn = self._order[:, None] == np.arange(len(self.names))
        self._before = np.pad(drawn.cumsum(0), ((1, 0), (0, 0)))  # (period + 1, sources): rows before each

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Rows `rank::world` of the global batch `step`."""
        check(step >= 0 and 0 <= rank < world, f"no batch of step={step}, rank={rank} of {world}")
        numbers = range(step * self.batch_size + rank, (step + 1) * self.batch_size, world)
        tokens = np.empty((len(numbers), self.seq_len + 1), np.int64)
        segments = np.empty_like(tokens)
        for i, number in enumerate(numbers):
            source, index = self._locate(number)
            self._streams[source].read(index * self.seq_len, tokens[i], segments[i])
        same = segments[:, 1:] == segments[:, :-1]
        targets = np.where(same, tokens[:, 1:], IGNORED)
        parts = np.ascontiguousarray(tokens[:, :-1]), targets, np.ascontiguousarray(segments[:, :-1])
        return Batch(*map(torch.from_numpy, parts))

    def _locate(self, row: int) -> tuple[int, int]:
        """(source, its rows before this one) of a row of the whole run; row i of step s is `s * batch_size + i`."""
        period, offset = divmod(row, len(self._order))
        source = int(self._order[offset])
        return source, int(period * self._before[-1, source] + self._before[offset, source])

    def rows(self, steps: int) -> dict[str, int]:
        """Rows drawn from each source in the first `steps` steps; a source of weight 0 has 0."""
        periods, offset = divmod(steps * self.batch_size, len(self._order))
        drawn = periods * self._before[-1] + self._before[offset]
        return dict.fromkeys(self.weights, 0) | {name: int(n) for name, n in zip(self.names, drawn, strict=True)}

    def shares(self, steps: int) -> dict[str, float]:
        """Realised share of tokens of each source in the first `steps` steps."""
        return {name: n / max(1, steps * self.batch_size) for name, n in self.rows(steps).items()}

    def epochs(self, steps: int) -> dict[str, float]:
        """How often each source was gone through in the first `steps` steps."""
        rows = self.rows(steps)
        drawn = {name: rows[name] * self.seq_len / self.shards[name].tokens for name in self.names}
        return dict.fromkeys(self.weights, 0.0) | drawn

    @property
    def plan(self) -> dict[str, Any]:
        """Everything that the batches depend on."""
        return {
            "version": VERSION,
            "seed": self.seed,
            "seq_len": self.seq_len,
            "batch_size": self.batch_size,
            "sources": {
                name: {"weight": self.weights[name], "documents": s.documents, "tokens": s.tokens, "sha256": s.sha256}
                for name, s in self.shards.items()
            },
        }

    @property
    def fingerprint(self) -> str:
        return digest(self.plan)


def explain_difference(old: dict[str, Any], new: dict[str, Any], where: str = "") -> str:
    """What changed between two plans, field by field: `sources.web.weight: 0.5 -> 0.6`; empty when nothing did."""
    found = []
    for key in [*old, *(key for key in new if key not in old)]:
        a, b, path = old.get(key, "absent"), new.get(key, "absent"), f"{where}{key}"
        if isinstance(a, dict) and isinstance(b, dict):
            found.append(explain_difference(a, b, f"{path}."))
        elif a != b:
            a, b = ("present" if isinstance(x, dict) else x for x in (a, b))
            found.append(f"{path}: {a} -> {b}")
    return "; ".join(filter(None, found))


def blend(weights: list[float]) -> np.ndarray[Any, Any]:
    """(period,) int: which source each row comes from; every prefix has each source within one row of its share.

    Of the sources that lag behind their share, the one whose next row is due first (Tijdeman 1980, "The chairman
    assignment problem": off by at most 1 - 1/(2n-2) rows). Always drawing the one that lags most, as Megatron and
    nanotron do, is off by more than a row for some shares of four sources. Shares of over five decimals are rounded to
    1/PERIOD.
    """
    counts = _counts(weights)
    period, n = sum(counts), len(counts)
    if n == 1:
        return np.zeros(period, np.int64)
    m, drawn, order = 2 * n - 2, [0] * n, np.empty(period, np.int64)
    for t in range(1, period + 1):
        late = (i for i in range(n) if m * (counts[i] * t - drawn[i] * period) >= period)
        source = min(late, key=lambda i: (m * (drawn[i] + 1) - 1) / counts[i])
        order[t - 1] = source
        drawn[source] += 1
    return order


def _counts(weights: list[float]) -> list[int]:
    """Rows of each source in a period: exact where the shares have a common denominator up to PERIOD."""
    fractions = [Fraction(weight).limit_denominator(PERIOD) for weight in weights]
    period = math.lcm(*(fraction.denominator for fraction in fractions))
    if sum(fractions) != 1 or period > PERIOD:
        period = PERIOD
        exact = [Fraction(weight) / sum(map(Fraction, weights)) * period for weight in weights]
        counts = [math.floor(value) for value in exact]
        by_rest = sorted(range(len(weights)), key=lambda i: counts[i] - exact[i])
        for i in by_rest[: period - sum(counts)]:
            counts[i] += 1
    else:
        counts = [int(fraction * period) for fraction in fractions]
    check(min(counts) > 0, f"mixture: a share of {min(weights):.3g} is less than one row in {PERIOD}")
    return counts


class _Stream:
    """The endless stream of one source: every document once an epoch, in an order that seed and epoch decide."""

    def __init__(self, shards: Shards, seed: str) -> None:
        self.shards, self.seed = shards, seed
        self._epoch = lru_cache(maxsize=2)(self._shuffle)  # two: a row may lie across the border of two epochs

    def _shuffle(self, epoch: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(documents,) the order of the documents, and where each ends in the epoch, in tokens.

        Sorting raw generator output instead of `Generator.permutation`: numpy promises the first to stay the same.
        """
        key = hashlib.sha256(f"{self.seed}/{epoch}".encode()).digest()[:16]
        noise = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(self.shards.documents)
        order = np.argsort(noise, kind="stable").astype(np.int32 if len(noise) < 1 << 31 else np.int64)
        return order, np.diff(self.shards.ends, prepend=0)[order].cumsum()

    def read(self, position: int, tokens: np.ndarray[Any, Any], segments: np.ndarray[Any, Any]) -> None:
        """Fill `tokens` from `position` of the stream on, and `segments` with the number of the document in the row."""
        filled, segment = 0, 0
        while filled < len(tokens):
            epoch, offset = divmod(position + filled, self.shards.tokens)
            order, ends = self._epoch(epoch)
            place = int(np.searchsorted(ends, offset, side="right"))
            skip = offset - (int(ends[place - 1]) if place else 0)
            while filled < len(tokens) and place < len(order):
                piece = self.shards.document(int(order[place]))[skip : skip + len(tokens) - filled]
                tokens[filled : filled + len(piece)] = piece
                segments[filled : filled + len(piece)] = segment
                filled, segment, place, skip = filled + len(piece), segment + 1, place + 1, 0
