"""One decoder for the Llama family: Llama 3.x, SmolLM2, Qwen2.5 (QKV bias) and Qwen3 (QK norm).

    tokens (B, T) -> embed -> num_layers x [x + attention(norm(x)); x + mlp(norm(x))] -> norm -> logits (B, T, V)

Parameter names are Hugging Face's, so a checkpoint loads by name. Attention is grouped-query with rotary positions,
causal, and, when `segments` are given, confined to one document of a packed row. The decoding path (KV cache) is in
engine.py and shares the functions below; a test holds decode == prefill == this forward. The code here defines the results;
on a CPU fused.py computes the same with compiled operators where they were built.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from octothinker.config import ModelConfig
from octothinker.model import fused

SHORT = 512  # tokens
CHUNK_LOGITS = 2**26  # at most this many fp32 logits (256 MB) are held at once


def rope_frequencies(config: ModelConfig) -> Tensor:
    """Inverse frequencies (head_dim/2,), fp32; with Llama 3's scaling: long wavelengths are stretched by `factor`,
    short ones kept, those between blended (Llama 3.1 model card; `rope_type: llama3` in transformers)."""
    # device: real numbers also where a model is built on `meta` to be filled later (hf.py, FSDP)
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.int64, device="cpu").float() / config.head_dim
    inverse = 1.0 / (config.rope_theta**exponent)
    scaling = config.rope_scaling
    if scaling is None:
        return inverse
    wavelength = 2 * math.pi / inverse
    low = scaling.original_max_position / scaling.low_freq_factor
    high = scaling.original_max_position / scaling.high_freq_factor
    blend = (scaling.original_max_position / wavelength - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    blended = (1 - blend) * inverse / scaling.factor + blend * inverse
    out = torch.where(wavelength > low, inverse / scaling.factor, inverse)
    return torch.where((wavelength <= low) & (wavelength >= high), blended, out)


def rope_tables(frequencies: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of shape (*positions, head_dim), fp32."""
    angles = positions[..., None].float() * frequencies.to(positions.device)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x (B, heads, T, D) with cos/sin (T, D) or (B, 1, T, D); half-split as Hugging Face's."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of q, k, v (B, heads, T, D), causal when there is no mask.

    On a CPU in bf16 the fused kernel takes most of a short row's time; up to SHORT tokens plain matmuls are faster."""
    short = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] <= SHORT
    with sdpa_kernel(SDPBackend.MATH) if short else nullcontext():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()  # bf16 squares lose too much
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        h, d, bias = config.hidden_size, config.head_dim, config.family == "qwen2"
        self.head_dim = d
        self.q_proj = nn.Linear(h, config.num_heads * d, bias=bias)
        self.k_proj = nn.Linear(h, config.num_kv_heads * d, bias=bias)
        self.v_proj = nn.Linear(h, config.num_kv_heads * d, bias=bias)
        self.o_proj = nn.Linear(config.num_heads * d, h, bias=False)
        self.q_norm = RMSNorm(d, config.norm_eps) if config.family == "qwen3" else None
        self.k_norm = RMSNorm(d, config.norm_eps) if config.family == "qwen3" else None

    def qkv(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, H) -> rotated q (B, heads, T, D), rotated k and plain v (B, kv_heads, T, D)."""
        q, k, v = (p(x).unflatten(-1, (-1, self.head_dim)) for p in (self.q_proj, self.k_proj, self.v_proj))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x, cos, sin)
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        out = attend(q, k, v, mask)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Everything up to the final norm; named `model` as in Hugging Face checkpoints."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)

    @property
    def blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.layers))


class Llama(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        # Kept out of the state dict, and computed in fp32 whatever the weights are cast to.
        self.frequencies = rope_frequencies(config)

    def init_weights(self, seed: int) -> None:
        """Normal matrices of standard deviation 0.64/sqrt(hidden_size) (0.02 at a width of 1,024; small models learn faster
        than from a fixed 0.02), residual outputs scaled by 1/sqrt(2 layers) (GPT-2), norms 1, biases 0."""
        generator = torch.Generator().manual_seed(seed)
        std, scale = 0.64 / math.sqrt(self.config.hidden_size), 1 / math.sqrt(2 * self.config.num_layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 1:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                else:
                    residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                    parameter.normal_(0.0, std * (scale if residual else 1.0), generator=generator)

    @property
    def head_weight(self) -> Tensor:
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def hidden(
        self,
        tokens: Tensor,
        *,
        segments: Tensor | None = None,
        parents: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Final hidden states (B, T, H) of tokens (B, T); the others are (B, T) int64 too.

        A token sees its own segment, and that of its parent whole, up to itself. A segment is a run of tokens and its
        parent an earlier one (RL: a group's responses share their prompt); without `parents` there is none. Negative
        segments are padding: what comes out there means nothing. Rotary positions count from the row's start unless given.
        """
        if fused.usable(self.head_weight):
            return fused.hidden(self, tokens, segments, parents, positions)
        order = torch.arange(tokens.shape[1], device=tokens.device)
        cos, sin = rope_tables(self.frequencies, order if positions is None else positions[:, None])
        mask = None
        if segments is not None:  # (B, 1, T, T)
            mask = segments[:, :, None] == segments[:, None, :]
            if parents is not None:
                mask = mask | (parents[:, :, None] == segments[:, None, :])
            mask = (mask & (order[:, None] >= order[None, :]))[:, None]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.blocks:
            x = layer(x, cos, sin, mask)
        return self.model.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.head_weight)

    def logprobs(self, hidden: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
        """fp32 log-probabilities (N,) of targets (N,) after hidden states (N, H); 0 where a target is -100.

        At most CHUNK_LOGITS logits are held at once; the backward pass computes a chunk's again."""
        if fused.usable(self.head_weight):
            return fused.logprobs(self, hidden, targets, temperature)

        def chunk(h: Tensor, t: Tensor) -> Tensor:
            return -F.cross_entropy(self.logits(h).float() / temperature, t, reduction="none")

        size = max(CHUNK_LOGITS // self.config.vocab_size, 1)
        if len(hidden) <= size:
            return chunk(hidden, targets)
        pieces = zip(hidden.split(size), targets.split(size), strict=True)
        return torch.cat([checkpoint(chunk, h, t, use_reentrant=False) for h, t in pieces])

    def loss(self, tokens: Tensor, targets: Tensor, *, segments: Tensor | None = None) -> Tensor:
        """Summed cross-entropy (scalar, fp32) of targets (B, T) that are not -100."""
        hidden, flat = self.hidden(tokens, segments=segments).flatten(0, 1), targets.flatten()
        if fused.usable(self.head_weight):
            return fused.token_loss(self, hidden, flat)
        return -self.logprobs(hidden, flat).sum()

    def forward(self, tokens: Tensor, *, segments: Tensor | None = None) -> Tensor:
        """tokens (B, T) int64 -> logits (B, T, V), in the weights' dtype (or autocast's)."""
        return self.logits(self.hidden(tokens, segments=segments))
