"""llama.py's network out of the compiled operators of native/ops.py: the same parameters, the same results, on a CPU.

Rows are laid flat and padding is left out, so a step costs what its documents cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from octothinker.native import library, ops

if TYPE_CHECKING:
    from octothinker.model.llama import Attention, Llama


def usable(weight: Tensor) -> bool:
    """One process on a CPU with the operators built, fp32 weights, fp32 or bf16 compute, nothing being compiled."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32 and not torch.compiler.is_compiling()
    return alone and plain and _dtype() in (torch.bfloat16, torch.float32) and library() is not None


def _dtype() -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def hidden(
    model: Llama, tokens: Tensor, segments: Tensor | None, parents: Tensor | None, positions: Tensor | None
) -> Tensor:
    """Llama.hidden, in the compute dtype."""
    config, dtype = model.config, _dtype()
    rows, width = tokens.shape
    if positions is None:
        positions = torch.arange(width).expand(rows, width)
    if segments is None:
        segments = torch.zeros(rows, width, dtype=torch.long)
    kept = (segments.flatten() >= 0).nonzero()[:, 0]
    whole = len(kept) == tokens.numel()

    def flat(x: Tensor) -> Tensor:
        return x.flatten() if whole else x.flatten()[kept]

    first_of_row = torch.arange(rows)[:, None] * (int(segments.max()) + 1)
    spans = _spans(flat(segments + first_of_row), None if parents is None else flat(parents + first_of_row))
    angles = flat(positions)[:, None].float() * model.frequencies
    layout = ops.Layout(spans, angles.cos(), angles.sin(), config.num_heads, config.num_kv_heads, config.head_dim)

    x, delta = model.model.embed_tokens(flat(tokens)), None
    for layer in model.model.blocks:
        x, normed = ops.add_norm(x, delta, layer.input_layernorm.weight, config.norm_eps, dtype)
        attended = ops.attention(_qkv(layer.self_attn, normed), layout)
        delta = ops.linear(attended, layer.self_attn.o_proj)
        x, normed = ops.add_norm(x, delta, layer.post_attention_layernorm.weight, config.norm_eps, dtype)
        mlp = layer.mlp
        delta = ops.mlp(normed, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
    out = ops.add_norm(x, delta, model.model.norm.weight, config.norm_eps, dtype)[1]
    if not whole:
        out = out.new_zeros(rows * width, out.shape[1]).index_copy(0, kept, out)
    return out.view(rows, width, -1)


def _qkv(attention: Attention, x: Tensor) -> Tensor:
    qkv = ops.linear(x, attention.q_proj, attention.k_proj, attention.v_proj)
    if attention.q_norm is None or attention.k_norm is None:
        return qkv
    sizes = [p.out_features for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    q, k, v = qkv.split(sizes, dim=1)
    normed = []
    for x, norm in ((q, attention.q_norm), (k, attention.k_norm)):
        heads = x.float().reshape(-1, attention.head_dim)
        normed.append(ops.add_norm(heads, None, norm.weight, norm.eps, qkv.dtype)[1].view(len(qkv), -1))
    return torch.cat((*normed, v), dim=1)


def _spans(segments: Tensor, parents: Tensor | None) -> Tensor:
    """Layout.spans of segments (N,) that are numbered apart over all rows."""
    numbers, lengths = torch.unique_consecutive(segments, return_counts=True)
    ends = lengths.cumsum(0)
    spans = torch.zeros(len(ends), 4, dtype=torch.int32)
    spans[:, 0], spans[:, 1] = ends - lengths, ends
    if parents is not None:
        place = {number: i for i, number in enumerate(numbers.tolist())}
        for i, parent in enumerate(parents[ends - 1].tolist()):
            if parent != int(numbers[i]) and parent in place:
                spans[i, 2:] = spans[place[parent], :2]
    return spans


def logprobs(model: Llama, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
    return ops.logprobs(hidden.to(_dtype()), model.head_weight, targets, temperature)


def token_loss(model: Llama, hidden: Tensor, targets: Tensor) -> Tensor:
    return ops.token_loss(hidden.to(_dtype()), model.head_weight, targets)
