"""The training step's compiled operators (train.cpp, attention.cpp), each a differentiable function with its formula beside it.

    add_norm     y = x + delta;  normed = w * y / sqrt(mean(y^2) + eps)                       llama.RMSNorm
    linear       x @ cat(weights).T + cat(biases): projections of one input in one product    nn.Linear
    attention    rotate q and k; softmax(q k^T / sqrt(D)) v inside each span                  llama.Attention
    mlp          down(silu(gate(x)) * up(x))                                                  llama.MLP
    logprobs     log_softmax(h @ W.T / temperature)[target]                                   Llama.logprobs
    token_loss   -sum of logprobs, its gradients made in the forward pass, chunk by chunk     F.cross_entropy

x stays in fp32 between blocks, as under autocast; everything else is in `dtype`, fp32 or bf16, with fp32 sums inside. Large
products stay with PyTorch. Tokens of all rows lie flat: (N, H). tests/model/test_fused.py holds each against its formula.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from octothinker.native import library

CHUNK_LOGITS = 2**25  # logits held at once: 64 MB in bf16


def _call(name: str, dtype: torch.dtype, *arguments: Tensor | int | float | None) -> None:
    def plain(value: Tensor | int | float | None) -> Any:
        if isinstance(value, Tensor):
            assert value.is_contiguous() and value.device.type == "cpu"
            return ctypes.c_void_p(value.data_ptr())
        return ctypes.c_float(value) if isinstance(value, float) else ctypes.c_void_p(None) if value is None else value

    built = library()
    assert built is not None
    numbers = (ctypes.c_long(v) if isinstance(v, int) else v for v in map(plain, arguments))
    getattr(built, f"octo_{name}")(ctypes.c_long(dtype == torch.bfloat16), *numbers)


@cache
def _slow_bf16() -> bool:
    """An x86 CPU without bf16 instructions: PyTorch's product in it takes 3-5 times as long as in fp32."""
    found = torch.cpu.get_capabilities()
    return found["architecture"] == "x86_64" and not (found["avx512_bf16"] or found["amx_bf16"])


def _mm(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a b (+ bias) in their dtype; the sums are fp32 either way."""
    if a.dtype == torch.bfloat16 and _slow_bf16():
        with torch.autocast("cpu", enabled=False):  # it would round them again
            product = torch.mm(a.float(), b.float())
            return (product if bias is None else product.add_(bias)).bfloat16()
    return torch.mm(a, b) if bias is None else torch.addmm(bias, a, b)


@dataclass(frozen=True)
class Layout:
    """Where attention may look, and the rotation of each token."""

    spans: Tensor
    """(S, 4) int32: begin and end of each run of tokens, begin and end of its parent (an earlier run it sees whole; 0, 0:
    none). Runs that hang together stand together."""
    cos: Tensor
    """(N, D/2) fp32"""
    sin: Tensor
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        return len(self.cos), self.heads, self.kv_heads, self.head_dim, len(self.spans)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor | None, weight: Tensor, eps: float, dtype: torch.dtype) -> Any:
        n, h = x.shape
        x = x.contiguous()
        y = x if delta is None else torch.empty_like(x)
        normed, scale = torch.empty_like(x, dtype=dtype), torch.empty(n)
        _call("add_norm", dtype, n, h, x, delta, weight, eps, y, normed, scale)
        ctx.save_for_backward(y, weight, scale)
        ctx.dtype, ctx.delta = dtype, delta is not None
        ctx.set_materialize_grads(False)  # nobody uses the last block's sum
        return y, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dnormed: Tensor) -> Any:
        y, weight, scale = ctx.saved_tensors
        dx, dw = torch.empty_like(y), torch.empty_like(weight)
        ddelta = torch.empty_like(y, dtype=ctx.dtype) if ctx.delta else None
        dy, dnormed = None if dy is None else dy.contiguous(), dnormed.contiguous()
        _call("add_norm_backward", ctx.dtype, *y.shape, y, weight, scale, dnormed, dy, dx, ddelta, dw)
        return dx, ddelta, dw, None, None


def add_norm(x: Tensor, delta: Tensor | None, weight: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(x + delta in fp32, its RMSNorm in `dtype`); x (N, H) fp32, delta in `dtype` or none."""
    return _AddNorm.apply(x, delta, weight, eps, dtype)


def _fuse(weights: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Weights (out_i, in), one under the other, in `dtype`."""
    fused = weights[0].new_empty(sum(map(len, weights)), *weights[0].shape[1:], dtype=dtype)
    for part, weight in zip(fused.split(list(map(len, weights))), weights, strict=True):
        part.copy_(weight)
    return fused


def _split(gradient: Tensor, sizes: list[int]) -> list[Tensor]:
    return [part.float() for part in gradient.split(sizes)]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, biased: bool, *parameters: Tensor) -> Tensor:
        weights = parameters[: len(parameters) // 2] if biased else parameters
        fused = _fuse(weights, x.dtype)
        ctx.save_for_backward(x, *weights)  # and not `fused`: casting again is cheap, all layers' bf16 weights are not
        ctx.biased = biased
        if biased:
            return _mm(x, fused.t(), _fuse(parameters[len(weights) :], x.dtype))
        return _mm(x, fused.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> Any:
        x, *weights = ctx.saved_tensors
        sizes = list(map(len, weights))
        gradients = _split(_mm(dout.t(), x), sizes)
        if ctx.biased:
            gradients += _split(dout.sum(0, dtype=torch.float32), sizes)
        return _mm(dout, _fuse(weights, x.dtype)), None, *gradients


def linear(x: Tensor, *layers: torch.nn.Linear) -> Tensor:
    """Outputs of `layers`, side by side, for x (N, H)."""
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return _Linear.apply(x, bool(biases), *(layer.weight for layer in layers), *biases)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: Layout) -> Tensor:
        out = qkv.new_empty(len(qkv), layout.heads * layout.head_dim)
        lse = torch.empty(layout.heads, len(qkv))
        _call("attention", qkv.dtype, *layout.shape, layout.spans, qkv, layout.cos, layout.sin, out, lse)
        ctx.save_for_backward(qkv, out, lse)
        ctx.layout = layout
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> Any:
        (qkv, out, lse), layout = ctx.saved_tensors, ctx.layout
        dqkv, tables = torch.empty_like(qkv), (layout.cos, layout.sin)
        called = (*layout.shape, layout.spans, qkv, *tables, out, lse, dout.contiguous(), dqkv)
        _call("attention_backward", qkv.dtype, *called)
        return dqkv, None


def attention(qkv: Tensor, layout: Layout) -> Tensor:
    """qkv (N, (heads + 2 kv_heads) * D), before rotation -> (N, heads * D). Saves one number a query beside its input and
    output, and computes the tiles that spans touch and no others."""
    return _Attention.apply(qkv, layout)


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        both = _mm(x, _fuse((gate, up), x.dtype).t())
        act = both.new_empty(len(x), len(gate))
        _call("swiglu", x.dtype, *act.shape, both, act)
        ctx.save_for_backward(x, both, gate, up, down)
        return _mm(act, down.to(x.dtype).t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> Any:
        x, both, gate, up, down = ctx.saved_tensors
        dact = _mm(dout, down.to(x.dtype))
        act, dboth = torch.empty_like(dact), torch.empty_like(both)
        _call("swiglu_backward", x.dtype, *act.shape, both, dact, act, dboth)
        dgate, dup = _split(_mm(dboth.t(), x), [act.shape[1]] * 2)
        return _mm(dboth, _fuse((gate, up), x.dtype)), dgate, dup, _mm(dout.t(), act).float()


def mlp(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """SwiGLU; keeps gate(x) and up(x), and computes their product again in the backward pass."""
    return _MLP.apply(x, gate, up, down)


def _chunks(n: int, vocab: int) -> list[slice]:
    size = max(CHUNK_LOGITS // vocab, 1)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class _Logprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
        dtype, matrix = hidden.dtype, weight.to(hidden.dtype)
        logp, lse = torch.empty(2, len(hidden)).unbind()
        chunks = _chunks(len(hidden), len(weight))
        logits = hidden.new_empty(0)
        for rows in chunks:
            logits = _mm(hidden[rows], matrix.t())
            _call("logprob", dtype, *logits.shape, logits, targets[rows], 1 / temperature, logp[rows], lse[rows])
        # A single chunk's logits are kept, more are computed again.
        ctx.save_for_backward(hidden, matrix, targets, lse, *([logits] if len(chunks) == 1 else []))
        ctx.temperature = temperature
        return logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        hidden, matrix, targets, lse, *kept = ctx.saved_tensors
        dhidden, dweight = torch.empty_like(hidden), torch.zeros(matrix.shape)
        for rows in _chunks(len(hidden), len(matrix)):
            logits = kept[0].clone() if kept else _mm(hidden[rows], matrix.t())
            known = targets[rows], 1 / ctx.temperature, lse[rows], upstream[rows].contiguous()
            _call("logprob_backward", hidden.dtype, *logits.shape, logits, *known)
            dhidden[rows] = _mm(logits, matrix)
            dweight += _mm(logits.t(), hidden[rows])
        return dhidden, dweight, None, None


def logprobs(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """(N,) fp32 for hidden (N, H), weight (V, H), targets (N,); 0, without gradient, where a target is negative."""
    return _Logprobs.apply(hidden.contiguous(), weight, targets, temperature)


class _TokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        dtype, matrix = hidden.dtype, weight.to(hidden.dtype)
        dhidden, dweight = torch.empty_like(hidden), torch.zeros(matrix.shape)
        logp, lse = torch.empty(2, len(hidden)).unbind()
        minus = torch.full((len(hidden),), -1.0)
        for rows in _chunks(len(hidden), len(weight)):
            logits = _mm(hidden[rows], matrix.t())
            _call("logprob", dtype, *logits.shape, logits, targets[rows], 1.0, logp[rows], lse[rows])
            _call("logprob_backward", dtype, *logits.shape, logits, targets[rows], 1.0, lse[rows], minus[rows])
            dhidden[rows] = _mm(logits, matrix)
            dweight += _mm(logits.t(), hidden[rows])
        ctx.gradients = dhidden, dweight
        return -logp.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        dhidden, dweight = ctx.gradients
        del ctx.gradients  # they are scaled in place: a second backward pass must fail
        return dhidden.mul_(upstream), dweight.mul_(upstream), None


def token_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy (scalar) of targets that are not negative. Its gradient is known but for a factor, so the logits of
    a chunk are computed once and never kept."""
    return _TokenLoss.apply(hidden.contiguous(), weight, targets)
