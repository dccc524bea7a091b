"""Learning rates by hand."""

from __future__ import annotations

import pytest
import torch

from octothinker.config import AdamW, Schedule
from octothinker.train.optim import Guard, TrainingStopped, build
from octothinker.train.schedule import lr_at


@pytest.mark.parametrize(
    ("kind", "quarter", "half", "end"),
    [
        ("constant", 1.0, 1.0, 1.0),
        ("cosine", 0.1 + 0.9 * (1 + 2**-0.5) / 2, 0.55, 0.1),
        ("linear", 0.775, 0.55, 0.1),
        ("1-sqrt", 0.55, 0.1 + 0.9 * (1 - 0.5**0.5), 0.1),
    ],
)
def test_shapes(kind: str, quarter: float, half: float, end: float) -> None:
    schedule = Schedule(kind=kind, final_ratio=0.1)  # type: ignore[arg-type]
    got = [lr_at(schedule, 1.0, tokens, 1000) for tokens in (0, 250, 500, 1000)]
    assert got == pytest.approx([1.0, quarter, half, end])


def test_warmup_then_shape() -> None:
    schedule = Schedule(kind="linear", final_ratio=0.0, warmup_tokens=100)
    assert lr_at(schedule, 2.0, 0, 300) == pytest.approx(2.0 / 101)
    assert lr_at(schedule, 2.0, 50, 300) == pytest.approx(2.0 * 51 / 101)
    assert lr_at(schedule, 2.0, 100, 300) == 2.0
    assert lr_at(schedule, 2.0, 200, 300) == pytest.approx(1.0)


def test_papers_decay_branch_falls_to_a_tenth() -> None:
    """PAPER section 2: 3B, cosine from the stable 2e-5 to one tenth over 20B tokens."""
    schedule = Schedule(kind="cosine")
    assert lr_at(schedule, 2e-5, 0, 20_000_000_000) == 2e-5
    assert lr_at(schedule, 2e-5, 20_000_000_000, 20_000_000_000) == pytest.approx(2e-6)


def test_decay_groups(tiny_model) -> None:
    model = tiny_model()
    names = {id(p): n for n, p in model.named_parameters()}

    def decayed(config: AdamW) -> set[str]:
        groups = [group for optimizer in build(model, config, 1.0) for group in optimizer.param_groups]
        assert sum(len(group["params"]) for group in groups) == len(names)  # each is somewhere, and once
        return {names[id(p)] for group in groups if group["weight_decay"] > 0 for p in group["params"]}

    matrices = {n for n in names.values() if n.endswith("proj.weight")}
    assert decayed(AdamW()) == decayed(AdamW(muon=True)) == matrices
    assert decayed(AdamW(decay_embeddings=True)) - matrices == {"model.embed_tokens.weight"}


def test_guard_skips_and_stops() -> None:
    guard = Guard(spike_factor=10, max_bad_steps=3)
    for step in range(Guard.WARMUP):
        assert guard.check(step, 1.0, 1.0) is None
    assert "spike" in (guard.check(20, 1.0, 10.5) or "")
    assert guard.check(21, 1.0, 1.0) is None  # the count starts again
    assert guard.mean == pytest.approx(1.0)  # and the spike did not move the mean
    assert "non-finite" in (guard.check(22, float("nan"), 1.0) or "")
    assert "non-finite" in (guard.check(23, 1.0, float("inf")) or "")
    with pytest.raises(TrainingStopped, match="step 24: 3 bad steps in a row.*learning rate"):
        guard.check(24, 1.0, float("nan"))
    assert guard.skipped == 4


def test_a_spike_before_the_warmup_is_let_through() -> None:
    guard = Guard(spike_factor=10, max_bad_steps=3)
    assert [guard.check(i, 1.0, norm) for i, norm in enumerate((1.0, 100.0))] == [None, None]


def test_a_skipped_step_leaves_weights_and_moments(tiny_model) -> None:
    from octothinker.train.optim import gradient_step

    model = tiny_model()
    optimizers = build(model, AdamW(muon=True), 1e-2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    norm, why = gradient_step(model, optimizers, 1e-2, 1.0, Guard(10, 3), 0, 1.0)
    assert why and norm != norm
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(o.state for o in optimizers) and all(p.grad is None for p in model.parameters())


def test_muon_is_torchs() -> None:
    """Matrices of one shape orthogonalised together: the weights of torch.optim.Muon, step after step."""
    from octothinker.train.muon import Muon

    torch.manual_seed(0)
    shapes = [(16, 16), (16, 16), (8, 16), (40, 16), (40, 16), (16, 40)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    settings = {"lr": 1e-2, "weight_decay": 0.1}
    optimizers = Muon(ours, **settings), torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)  # bf16 products may be rounded in another order
        assert (optimizers[0].state[a]["momentum_buffer"] == optimizers[1].state[b]["momentum_buffer"]).all()
