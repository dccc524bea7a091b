"""Advantages, loss, length schedule, prompt order: hand-computed numbers and properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from octothinker.config import LengthSchedule
from octothinker.data.problems import Problem
from octothinker.rl.advantage import advantages
from octothinker.rl.length import limit_at
from octothinker.rl.loss import PolicyBatch, Totals, kl_k3, policy_loss, weights
from octothinker.rl.rollout import problems_at


def test_grpo_advantages_by_hand() -> None:
    """Rewards 1, 1, -1, -1: mean 0, sample standard deviation sqrt(4/3)."""
    expected = 1 / (math.sqrt(4 / 3) + 1e-6)
    assert advantages([1, 1, -1, -1], "grpo") == pytest.approx([expected, expected, -expected, -expected])
    assert advantages([1, 0, 0, 0], "dr_grpo") == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_ungraded_responses_take_no_part() -> None:
    assert advantages([1.0, None, 0.0], "dr_grpo") == pytest.approx([0.5, 0.0, -0.5])
    assert advantages([None, None, 1.0], "grpo") == [0.0, 0.0, 0.0]


@given(st.lists(st.sampled_from([1.0, -1.0]), min_size=2, max_size=32))
def test_advantages_are_centred_and_zero_without_variance(rewards: list[float]) -> None:
    values = advantages(list(rewards), "grpo")
    assert sum(values) == pytest.approx(0, abs=1e-9)
    assert all(v == 0 for v in values) == (len(set(rewards)) == 1)


def batch(logp: list[float], old: list[float], adv: list[float], lengths: list[int]) -> PolicyBatch:
    tensor = torch.tensor
    return PolicyBatch(tensor(logp, requires_grad=True), tensor(old), tensor(adv), tensor(lengths))


def test_clipped_surrogate_by_hand() -> None:
    """Ratios 1.5, 1.5, 0.5, 0.5 with advantages +1, -1, +1, -1 under clip (0.2, 0.28)."""
    logp = [math.log(1.5), math.log(1.5), math.log(0.5), math.log(0.5)]
    made = batch(logp, [0.0] * 4, [1.0, -1.0, 1.0, -1.0], [4] * 4)
    out = policy_loss(made, Totals(4, 1), clip_low=0.2, clip_high=0.28, aggregate="token_mean")
    assert out.loss.item() == pytest.approx(-(1.28 - 1.5 + 0.5 - 0.8) / 4)
    assert out.clipped.item() == 2  # the first and the last: where going on would overshoot
    out.loss.backward()
    assert made.logp.grad is not None
    # d/dlogp of -ratio * A / 4 where not clipped, 0 where clipped
    assert made.logp.grad.tolist() == pytest.approx([0.0, 1.5 / 4, -0.5 / 4, 0.0])


def test_aggregation_by_hand() -> None:
    """Two responses of 1 and 3 tokens."""
    lengths = torch.tensor([1, 3, 3, 3])
    assert weights(lengths, Totals(4, 2), "token_mean").tolist() == pytest.approx([0.25] * 4)
    assert weights(lengths, Totals(4, 2), "sequence_mean").tolist() == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize("aggregate", ["token_mean", "sequence_mean"])
def test_micro_batches_add_up(aggregate: str) -> None:
    """Cut anywhere between responses, the parts' losses add up to the whole's: that is what the totals are for."""
    torch.manual_seed(0)
    lengths = [3, 1, 5, 2]
    flat = [n for n in lengths for _ in range(n)]
    logp, old, adv = torch.randn(11) * 0.3, torch.randn(11) * 0.3, torch.randn(11)
    settings = {"clip_low": 0.2, "clip_high": 0.2, "aggregate": aggregate}

    def loss(part: slice) -> float:
        made = PolicyBatch(logp[part], old[part], adv[part], torch.tensor(flat)[part])
        return policy_loss(made, Totals(11, 4), **settings).loss.item()  # type: ignore[arg-type]

    assert loss(slice(0, 4)) + loss(slice(4, 11)) == pytest.approx(loss(slice(0, 11)), rel=1e-6)


def test_kl() -> None:
    assert kl_k3(torch.tensor([0.0]), torch.tensor([0.0])).item() == 0
    assert kl_k3(torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])).item() == pytest.approx(
        0.5 - 1 - math.log(0.5)
    )
    made = batch([0.0], [0.0], [0.0], [1])
    settings = {"clip_low": 0.2, "clip_high": 0.2, "aggregate": "token_mean", "kl_coef": 0.1}
    with pytest.raises(ValueError, match="ref_logp"):
        policy_loss(made, Totals(1, 1), **settings)  # type: ignore[arg-type]
    with_ref = PolicyBatch(made.logp, made.old_logp, made.advantages, made.lengths, torch.tensor([-1.0]))
    loss = policy_loss(with_ref, Totals(1, 1), **settings).loss.item()  # type: ignore[arg-type]
    assert loss == pytest.approx(0.1 * (math.exp(-1) - 1 + 1))


def test_papers_length_schedule() -> None:
    """PAPER section 3: 2,048 for gradient steps 0-200, 4,096 to 320, 8,192 to 400; half of that in rollout steps."""
    schedule = LengthSchedule(limits=((0, 2048), (100, 4096), (160, 8192)))
    assert [limit_at(schedule, s, []) for s in (0, 99, 100, 159, 160, 199)] == [2048, 2048, 4096, 4096, 8192, 8192]


def test_adaptive_length_schedule() -> None:
    """Up after two steps with more than 30% truncated on average, and then only after two more of the new limit."""
    schedule = LengthSchedule(limits=((0, 10), (1, 20), (2, 40)), adaptive_truncation=0.3, patience=2)
    truncation = [0.0, 0.2, 0.5, 0.5, 0.4, 0.0, 0.0]
    assert [limit_at(schedule, step, truncation[:step]) for step in range(8)] == [10, 10, 10, 20, 20, 40, 40, 40]


@given(st.integers(2, 9), st.integers(1, 7), st.integers(0, 3))
def test_every_epoch_asks_each_problem_once(size: int, count: int, seed: int) -> None:
    problems = [Problem(str(i), "", "", "") for i in range(size)]
    asked = [p.id for step in range(3 * size) for p in problems_at(problems, step, count, seed)]
    for epoch in range(len(asked) // size):
        assert sorted(asked[epoch * size : (epoch + 1) * size]) == sorted(p.id for p in problems)
