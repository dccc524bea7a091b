"""Packed rows that share prompts: what is in them, and that log-probs and gradients are those of each sample alone."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from octothinker.config import ModelConfig
from octothinker.data.problems import Problem
from octothinker.grade.verdict import Verdict
from octothinker.model import fused
from octothinker.model.engine import Completion
from octothinker.model.llama import Llama
from octothinker.native import library
from octothinker.rl.pack import micro_batches
from octothinker.rl.rollout import Sample
from octothinker.rl.update import logprobs

CPU = torch.device("cpu")


def sample(prompt: list[int], response: list[int]) -> Sample:
    done = Completion(tokens=response, logprobs=[0.0] * len(response), finish="stop", text="")
    problem = Problem(id="", question="", answer="", level="")
    return Sample(problem, 0, prompt, done, Verdict(correct=None, kind="bad_gold", extracted=None), 1.0, 1.0)


def test_a_row_by_hand() -> None:
    samples = [sample([1, 2, 3], [4, 5, 6]), sample([1, 2, 3], [7]), sample([1, 2, 3], [8, 9]), sample([5], [6, 7])]
    (rows,) = micro_batches(samples, 100, CPU)
    assert rows.tokens.tolist() == [[1, 2, 3, 4, 5, 8], [5, 6, 0, 0, 0, 0]]  # as wide as the widest group
    assert rows.segments.tolist() == [[0, 0, 0, 1, 1, 3], [0, 1, -1, -1, -1, -1]]  # the second response has no input
    assert rows.parents.tolist() == [[0, 0, 0, 0, 0, 0], [0, 0, -1, -1, -1, -1]]
    assert rows.positions.tolist() == [[0, 1, 2, 3, 4, 3], [0, 1, 0, 0, 0, 0]]
    assert rows.predictors.tolist() == [2, 3, 4, 2, 2, 5, 6, 7]
    assert rows.targets.tolist() == [4, 5, 6, 7, 8, 9, 6, 7]
    assert rows.samples == samples


def test_no_micro_batch_is_over_its_tokens_unless_one_sample_is() -> None:
    rng = random.Random(0)
    prompts = [[rng.randrange(50) for _ in range(rng.randint(1, 9))] for _ in range(12)]
    samples = [sample(p, [1] * rng.randint(1, 30)) for p in prompts for _ in range(5)]
    for limit in (20, 64, 200, 10_000):
        batches = micro_batches(samples, limit, CPU)
        assert [s for rows in batches for s in rows.samples] == samples
        for rows in batches:
            alone = len(rows.samples[0].prompt) + len(rows.samples[0].completion.tokens) - 1
            assert rows.tokens.numel() <= max(limit, alone)
    assert len(micro_batches(samples, 64, CPU)) > 5 and len(micro_batches(samples, 10_000, CPU)) == 1


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("limit", [40, 10_000])
def test_packed_is_the_same_as_alone(native: bool, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probs and gradients of the packed rows against each sample's own padless row, without sharing."""
    if native and library() is None:
        pytest.skip("the operators are not built")
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_layers": 2,
        "num_heads": 2,
        "num_kv_heads": 1,
        "head_dim": 16,
    }
    model = Llama(ModelConfig(vocab_size=50, **shape))  # type: ignore[arg-type]
    model.init_weights(0)
    rng = random.Random(1)
    prompts = [[rng.randrange(50) for _ in range(n)] for n in (1, 5, 9)]
    samples = [sample(p, [rng.randrange(50) for _ in range(n)]) for p in prompts for n in (1, 12, 3, 20)]
    weights = torch.linspace(-1, 1, sum(len(s.completion.tokens) for s in samples))

    def gradients(logp: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad((logp * weights).sum(), list(model.parameters())))

    monkeypatch.setattr(fused, "usable", lambda weight: False)
    alone = []
    for s in samples:
        row = torch.tensor([s.prompt + s.completion.tokens])
        full = (model(row[:, :-1]).float() / 0.9).log_softmax(-1)
        alone.append(full[0, len(s.prompt) - 1 :].gather(1, row[0, len(s.prompt) :, None])[:, 0])
    expected = torch.cat(alone)
    if native:
        monkeypatch.undo()
    packed = torch.cat([logprobs(model, rows, 0.9, "fp32") for rows in micro_batches(samples, limit, CPU)])
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(gradients(packed), gradients(expected), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
