"""Samples -> packed rows, in which the responses to one prompt share it:

    row        prompt A | response A1 | response A2 | response A3 | prompt B | response B1 | …
    segments   0          1             2             3             4          5
    parents    0          0             0             0             4          4              whose tokens a segment sees too
    positions  0 … p-1    p …           p …           p …           0 … q-1    q …

A response's first token is predicted from its prompt's last one; its own last token predicts nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from octothinker.rl.rollout import Sample

ROW = 2048  # tokens of a row, unless a single sample is longer; without native operators attention costs its square


@dataclass(frozen=True)
class Rows:
    """A micro-batch; all (B, T) int64."""

    tokens: Tensor
    segments: Tensor
    """-1: padding"""
    parents: Tensor
    positions: Tensor
    predictors: Tensor
    """(N,) int64: place in the flattened rows from which each response token is predicted, sample after sample."""
    targets: Tensor
    """(N,) int64: the response tokens."""
    samples: list[Sample]


@dataclass
class _Row:
    tokens: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    predictors: list[int] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    prompt: int = 0
    """Segment of the last prompt."""
    prompt_end: int = 0
    next_segment: int = 0

    def _add(self, tokens: list[int], parent: int, position: int) -> None:
        self.tokens += tokens
        self.segments += [self.next_segment] * len(tokens)
        self.parents += [parent] * len(tokens)
        self.positions += range(position, position + len(tokens))
        self.next_segment += 1

    def add_prompt(self, prompt: list[int]) -> None:
        self.prompt = self.next_segment
        self._add(prompt, self.prompt, 0)
        self.prompt_end = len(self.tokens)

    def add_response(self, sample: Sample) -> None:
        begin, inputs = len(self.tokens), sample.completion.tokens[:-1]
        self._add(inputs, self.prompt, len(sample.prompt))
        self.predictors += [self.prompt_end - 1, *range(begin, len(self.tokens))]
        self.samples.append(sample)


def micro_batches(samples: list[Sample], max_tokens: int, device: torch.device) -> list[Rows]:
    """Rows as wide as the widest group (at most ROW and `max_tokens`, at least a sample), stacked while their padded tokens
    stay within `max_tokens`. Samples keep their order; those of one prompt must be neighbours to share it."""
    groups = [(prompt, list(group)) for prompt, group in groupby(samples, key=lambda s: s.prompt)]
    widest = max((len(p) + sum(len(s.completion.tokens) - 1 for s in group) for p, group in groups), default=0)
    rows = _pack(groups, min(widest, ROW, max_tokens))
    batches: list[list[_Row]] = []
    for row in rows:
        if batches:
            width = max(len(r.tokens) for r in (row, *batches[-1]))
            if (len(batches[-1]) + 1) * width <= max_tokens:
                batches[-1].append(row)
                continue
        batches.append([row])
    return [_stack(batch, device) for batch in batches]


def _pack(groups: Iterable[tuple[list[int], list[Sample]]], width: int) -> list[_Row]:
    rows: list[_Row] = []
    for prompt, group in groups:
        begun = False  # is the prompt in the last row?
        for sample in group:
            needed = len(sample.completion.tokens) - 1 + (0 if begun else len(prompt))
            if not rows or len(rows[-1].tokens) + needed > width:
                rows.append(_Row())
                begun = False
            if not begun:
                rows[-1].add_prompt(prompt)
                begun = True
            rows[-1].add_response(sample)
    return rows


def _stack(rows: list[_Row], device: torch.device) -> Rows:
    width = max(len(row.tokens) for row in rows)

    def stacked(lists: list[list[int]], padding: int) -> Tensor:
        return torch.tensor([x + [padding] * (width - len(x)) for x in lists], device=device)

    samples = [sample for row in rows for sample in row.samples]
    return Rows(
        tokens=stacked([row.tokens for row in rows], 0),
        segments=stacked([row.segments for row in rows], -1),
        parents=stacked([row.parents for row in rows], -1),
        positions=stacked([row.positions for row in rows], 0),
        predictors=torch.tensor([i * width + p for i, row in enumerate(rows) for p in row.predictors], device=device),
        targets=torch.tensor([t for sample in samples for t in sample.completion.tokens], device=device),
        samples=samples,
    )
