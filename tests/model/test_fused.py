"""The compiled operators against the plain network that defines the results: all families, ragged segments, shared prompts.

fp32: logits, loss and every gradient agree to rounding. bf16: not further from fp32 than the plain bf16 path is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from octothinker.config import ModelConfig
from octothinker.model import fused
from octothinker.model.llama import Llama, RMSNorm, attend, rotate
from octothinker.native import library, ops

pytestmark = pytest.mark.skipif(library() is None, reason="the operators are not built")

FP32 = 2e-5  # relative, of a tensor's norm: rounding through layers whose weights are larger than usual
VOCAB = 50


@dataclass
class Case:
    model: Llama
    tokens: Tensor
    targets: Tensor
    packing: dict[str, Tensor]

    def run(self, native: bool, bf16: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Final hidden states of tokens that are no padding, and the gradients of a loss and of weighted log-probs."""
        usable = fused.usable
        self.model.zero_grad()
        if not native:
            fused.usable = lambda weight: False  # type: ignore[assignment]
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                hidden = self.model.hidden(self.tokens, **self.packing)
                logp = self.model.logprobs(hidden.flatten(0, 1), self.targets.flatten(), 0.8)
                segments = {k: v for k, v in self.packing.items() if k == "segments"}
                loss = self.model.loss(self.tokens, self.targets, **segments) / 10
            (loss + (logp * torch.linspace(-1, 1, len(logp))).sum()).backward()
        finally:
            fused.usable = usable
        kept = self.packing["segments"] >= 0 if self.packing else torch.ones_like(self.tokens, dtype=torch.bool)
        return hidden[kept].detach().float(), {n: p.grad.clone() for n, p in self.model.named_parameters()}


def gap(x: Tensor, reference: Tensor, least: float = 0.0) -> float:
    return (x - reference).norm().item() / max(reference.norm().item(), least)


def gaps(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]]) -> tuple[float, float]:
    # A constant added to all keys cancels in the softmax: the gradient of the keys' bias is rounding and nothing else. So are
    # those of q and k where a token sees itself alone: no tensor counts as smaller than a hundredth of the whole gradient.
    names = [name for name in one[1] if not name.endswith("k_proj.bias")]
    least = 1e-2 * sum(other[1][n].square().sum().item() for n in names) ** 0.5
    return gap(one[0], other[0]), max(gap(one[1][n], other[1][n], least) for n in names)


@st.composite
def cases(draw: Callable[..., int]) -> Case:
    family = draw(st.sampled_from(["llama", "qwen2", "qwen3"]))
    kv_heads, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    config = ModelConfig(
        vocab_size=VOCAB,
        hidden_size=40,
        intermediate_size=72,
        num_layers=2,
        num_heads=kv_heads * groups,
        num_kv_heads=kv_heads,
        head_dim=draw(st.sampled_from([8, 16, 24, 32, 64, 128])),
        family=family,  # type: ignore[arg-type]
        tie_embeddings=draw(st.booleans()),
    )
    model = Llama(config)
    model.init_weights(draw(st.integers(0, 99)))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # a bias of 0 or a norm of 1 would hide a mistake
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter + 0.2 * drawn if parameter.ndim == 1 else 2 * parameter)
    rows, width = draw(st.integers(1, 3)), draw(st.integers(1, 150))
    tokens = torch.randint(VOCAB, (rows, width), generator=generator)
    targets = torch.randint(VOCAB, (rows, width), generator=generator)
    targets[torch.rand(rows, width, generator=generator) < 0.1] = -100
    packing = {}
    if draw(st.booleans()):
        packing = {"segments": torch.zeros_like(tokens), "parents": torch.zeros_like(tokens)}
        packing["positions"] = torch.randint(200, (rows, width), generator=generator)
        for row in range(rows):
            cuts = sorted(draw(st.lists(st.integers(1, width), max_size=6)))
            root = 0
            for number, begin in enumerate(cuts, start=1):
                root = root if draw(st.booleans()) else number  # a child of the last root, or a root itself
                packing["segments"][row, begin:], packing["parents"][row, begin:] = number, root
            padding = draw(st.integers(0, width - 1))
            packing["segments"][row, width - padding :] = packing["parents"][row, width - padding :] = -1
            targets[row, width - padding :] = -100
        for row in range(rows):  # a root that was cut to nothing is nobody's parent
            present = set(packing["segments"][row].tolist())
            for i, parent in enumerate(packing["parents"][row].tolist()):
                if parent not in present:
                    packing["parents"][row, i] = packing["segments"][row, i]
        if draw(st.booleans()):
            packing = {"segments": packing["segments"]}
    targets[0, 0] = 1
    return Case(model, tokens, targets, packing)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_fp32_is_the_plain_network(case: Case) -> None:
    hidden, gradients = gaps(case.run(native=True, bf16=False), case.run(native=False, bf16=False))
    assert hidden < FP32 and gradients < FP32


def big_case(family: str, head_dim: int) -> Case:
    config = ModelConfig(
        vocab_size=384,
        hidden_size=128,
        intermediate_size=256,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        head_dim=head_dim,
        family=family,  # type: ignore[arg-type]
    )
    model = Llama(config)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(384, (2, 2, 300), generator=generator)
    segments = (torch.arange(300) // 110).expand(2, -1).contiguous()
    return Case(model, tokens, targets, {"segments": segments, "parents": (segments - 1).clamp(min=0) * 0})


@pytest.mark.parametrize(("family", "head_dim"), [("llama", 32), ("llama", 64), ("qwen2", 16), ("qwen3", 128)])
def test_bf16_is_as_close_to_fp32_as_the_plain_path(family: str, head_dim: int) -> None:
    case = big_case(family, head_dim)
    exact = case.run(native=False, bf16=False)
    ours, plain = gaps(case.run(True, True), exact), gaps(case.run(False, True), exact)
    assert 1e-4 < ours[0] < 1.5 * plain[0] and 1e-4 < ours[1] < 1.5 * plain[1]


def test_the_comparison_can_fail() -> None:
    """Another parent, or no confinement to segments, is far outside of the tolerance."""
    case = big_case("llama", 32)
    right = case.run(native=False, bf16=False)
    case.packing = {"segments": case.packing["segments"]}
    assert gaps(case.run(native=True, bf16=False), right)[0] > 100 * FP32


def test_any_number_of_threads_gives_the_same_bits() -> None:
    script = (
        "import sys, torch\ntorch.manual_seed(0)\ntorch.set_num_threads(int(sys.argv[1]))\n"
        "from octothinker.native import ops\n"
        "spans = torch.tensor([[0, 90, 0, 0], [90, 300, 0, 90]], dtype=torch.int32)\n"
        "layout = ops.Layout(spans, *torch.rand(2, 300, 16), 4, 2, 32)\n"
        "x = torch.randn(300, 8 * 32).bfloat16().requires_grad_()\n"
        "y = torch.randn(300, 64).requires_grad_()\n"
        "ops.attention(x, layout).float().square().sum().backward()\n"
        "ops.add_norm(y, None, torch.ones(64), 1e-5, torch.bfloat16)[1].float().pow(3).sum().backward()\n"
        "import hashlib\n"
        "print([hashlib.sha256(g.float().numpy().tobytes()).hexdigest() for g in (x.grad, y.grad)])\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", script, n], capture_output=True, text=True, check=True).stdout
        for n in ("1", "2")
    ]
    assert said[0] == said[1] and said[0].strip()


# ---- each operator against its formula --------------------------------------------------------------------------------


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


def assert_same(ours: Callable[..., Tensor], formula: Callable[..., Tensor], *inputs: Tensor) -> None:
    torch.manual_seed(1)
    one, other = ours(*inputs), formula(*inputs)
    upstream = torch.randn_like(other)
    assert gap(one, other) < 1e-5
    for a, b in zip(
        torch.autograd.grad(one, inputs, upstream), torch.autograd.grad(other, inputs, upstream), strict=True
    ):
        assert gap(a, b) < 1e-5


@pytest.mark.parametrize("width", [16, 40, 576])
def test_add_norm(width: int) -> None:
    norm = RMSNorm(width, 1e-5)

    def formula(x: Tensor, delta: Tensor, weight: Tensor) -> Tensor:
        norm.weight = torch.nn.Parameter(weight.detach())
        y = x + delta
        return torch.cat((y, weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5))))

    assert_same(
        lambda x, d, w: torch.cat(ops.add_norm(x, d, w, 1e-5, torch.float32)),
        formula,
        leaf(70, width),
        leaf(70, width),
        leaf(width),
    )
    x = torch.randn(5, width)
    with torch.no_grad():
        assert gap(ops.add_norm(x, None, norm.weight, 1e-5, torch.float32)[1], norm(x)) < 1e-6


@pytest.mark.parametrize("width", [16, 44])
def test_mlp(width: int) -> None:
    def formula(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        return (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ down.T

    assert_same(ops.mlp, formula, leaf(9, 12), leaf(width, 12), leaf(width, 12), leaf(12, width))


@pytest.mark.parametrize("bias", [False, True])
def test_linear(bias: bool) -> None:
    layers = [torch.nn.Linear(12, n, bias=bias) for n in (16, 8, 8)]
    parameters = [p for layer in layers for p in layer.parameters()]
    x = leaf(9, 12)
    one, other = ops.linear(x, *layers), torch.cat([layer(x) for layer in layers], dim=-1)
    upstream = torch.randn_like(other)
    ours, theirs = (torch.autograd.grad(y, [x, *parameters], upstream) for y in (one, other))
    assert gap(one, other) < 1e-6 and all(gap(a, b) < 1e-5 for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("slow", [False, True])
def test_a_bf16_product_is_the_rounded_fp32_one(slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the CPU's bf16 instruction, inside autocast too: rounded once, at the end."""
    monkeypatch.setattr(ops, "_slow_bf16", lambda: slow)
    torch.manual_seed(0)
    a, b, bias = torch.randn(40, 300).bfloat16(), torch.randn(300, 50).bfloat16(), torch.randn(50).bfloat16()
    for added in (None, bias):
        exact = a.double() @ b.double() + (0 if added is None else added.double())
        with torch.autocast("cpu", torch.bfloat16):
            found = ops._mm(a, b, added)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 300, 10**6])  # logits held at once: one token's, some, all
def test_logprobs_and_token_loss(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "CHUNK_LOGITS", chunk)
    targets = torch.randint(45, (20,))
    targets[3] = -100

    def formula(h: Tensor, w: Tensor) -> Tensor:
        return -torch.nn.functional.cross_entropy(h @ w.T / 0.7, targets, reduction="none")

    assert_same(lambda h, w: ops.logprobs(h, w, targets, 0.7), formula, leaf(20, 12), leaf(45, 12))

    def summed(h: Tensor, w: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(h @ w.T, targets, reduction="sum")

    assert_same(lambda h, w: ops.token_loss(h, w, targets), summed, leaf(20, 12), leaf(45, 12))


@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(1, 1, 8), (4, 2, 32), (6, 2, 48), (3, 1, 64), (2, 1, 128)])
def test_attention(heads: int, kv_heads: int, dim: int) -> None:
    """Three documents of 1, 70 and 129 tokens (tiles of 64: one, two, and a bit more), the last one sees the second."""
    bounds = torch.tensor([[0, 1, 0, 0], [1, 71, 0, 0], [71, 200, 1, 71]], dtype=torch.int32)
    number = torch.repeat_interleave(torch.arange(3), torch.tensor([1, 70, 129]))
    angles = torch.rand(200, dim // 2) * 6
    layout = ops.Layout(bounds, angles.cos(), angles.sin(), heads, kv_heads, dim)
    sees = (number[:, None] == number) | ((number[:, None] == 2) & (number == 1))
    mask = (sees & torch.ones(200, 200, dtype=torch.bool).tril())[None, None]

    def formula(qkv: Tensor) -> Tensor:
        parts = qkv.split([heads * dim, kv_heads * dim, kv_heads * dim], dim=1)
        q, k, v = (part.unflatten(1, (-1, dim)).transpose(0, 1)[None] for part in parts)
        cos, sin = (torch.cat((t, t), dim=1) for t in (layout.cos, layout.sin))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
        return attend(q, k, v, mask)[0].transpose(0, 1).flatten(1)

    assert_same(lambda qkv: ops.attention(qkv, layout), formula, leaf(200, (heads + 2 * kv_heads) * dim))
