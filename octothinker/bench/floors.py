"""The least time that a work can take on a machine: fewest operations over its matmul peak, fewest bytes over its bandwidth.

What every way of doing the work must do, and nothing more: each step reads all weights once and the keys and values of all
sequences (a prompt's once for its whole group); activations, softmax, norms and sampling are free. The longer of the two
is the floor. Where weights and cache fit into the processor's cache the bytes are no limit, and the floor is too high by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from octothinker.config import ModelConfig

BF16 = 2  # bytes
ADAM_BYTES = 32  # a parameter a step, fp32: weight, gradient and two moments, each read once and written once


@dataclass(frozen=True)
class Machine:
    """What was measured here with the same number of threads."""

    flops: float
    """A second, matmul, in the precision that is fastest here."""
    bandwidth: float
    """Bytes a second, copying and adding arrays too large for the caches."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """The fastest: what our side computes in. The peers choose theirs."""


@dataclass(frozen=True)
class Need:
    """Fewest operations and bytes."""

    flops: float
    bytes: float

    def __add__(self, other: Need) -> Need:
        return Need(self.flops + other.flops, self.bytes + other.bytes)

    def seconds(self, machine: Machine) -> float:
        return max(self.flops / machine.flops, self.bytes / machine.bandwidth)

    def bound(self, machine: Machine) -> str:
        return "operations" if self.flops / machine.flops >= self.bytes / machine.bandwidth else "bytes"


def matmul_weights(model: ModelConfig) -> int:
    """Weights that every token is multiplied with; an untied embedding is only looked up."""
    return model.num_parameters - (0 if model.tie_embeddings else model.vocab_size * model.hidden_size)


def rollout(model: ModelConfig, prompts: list[int], group: int, tokens: int) -> Need:
    """`tokens` for each of `group` responses to prompts of these lengths. The last token is sampled and not run."""
    steps, count = tokens - 1, group * len(prompts)
    weights = matmul_weights(model)
    head = model.vocab_size * model.hidden_size
    per_key = (
        4.0 * model.num_layers * model.num_heads * model.head_dim
    )  # operations of a query with a key and its value
    cache = 2.0 * BF16 * model.num_layers * model.num_kv_heads * model.head_dim  # bytes of a token
    own = steps * (steps + 1) / 2  # keys of its own that a response looks at, over all steps
    flops = sum(2.0 * (weights - head) * p + 2.0 * head + per_key * p * (p + 1) / 2 for p in prompts)
    flops += count * steps * 2.0 * weights + per_key * (count * own + steps * group * sum(prompts))
    moved = (steps + 1) * BF16 * weights + cache * (count * own + steps * sum(prompts))
    return Need(flops, moved)


def training(model: ModelConfig, sequences: int, seq_len: int) -> Need:
    """One optimiser step: forward, backward, AdamW."""
    return Need(model.flops_per_token(seq_len) * sequences * seq_len, float(ADAM_BYTES * model.num_parameters))


def grpo(model: ModelConfig, prompts: list[int], group: int, tokens: int) -> Need:
    """A rollout and one optimiser step on all responses, each group's prompt run once."""
    response = rollout(model, prompts, group, tokens)
    matmul, head = 6.0 * matmul_weights(model), 6.0 * model.vocab_size * model.hidden_size
    per_key = 6.0 * 2 * model.num_layers * model.num_heads * model.head_dim
    update = 0.0
    for p in prompts:
        update += (matmul - head) * p + matmul * group * tokens
        update += per_key * (p * (p + 1) / 2 + group * (tokens * p + tokens * (tokens + 1) / 2))
    return response + Need(update, float(ADAM_BYTES * model.num_parameters))
