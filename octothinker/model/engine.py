"""Rollouts: batched decoding with a KV cache.

    requests --compiled, on a CPU--> continuous batching over a paged cache (continuous.py, compiled.py, native/decode.cpp)
             --plain PyTorch------> prefill once a prompt --copy to its n samples--> decode together --drop finished rows-->

The plain path defines the results. Its rows are left-padded to one length, so every row of a batch writes the same cache
column and a mask hides the padding. Each sample draws from its own counter-based random stream, keyed by (request seed,
sample, position): what else is in the batch, its order and its size do not change a sample (compiled: to the last bit; plain:
in fp32, since in bf16 a matmul of another size may round another way).
A vLLM engine for GPUs can stand beside this one: the interface is `generate` and `load_weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from octothinker import native
from octothinker.model.compiled import Decoder, fits
from octothinker.model.continuous import Batch
from octothinker.model.llama import Llama, rope_tables
from octothinker.model.tokenizer import Tokenizer

COMPACT = 0.8  # finished rows leave the batch when at most this share still runs: moving the caches costs a step or two

SHARED_PREFIX = 16  # tokens


@dataclass(frozen=True, kw_only=True)
class Request:
    prompt: list[int]
    max_tokens: int
    n: int = 1
    """Samples drawn for this prompt."""
    temperature: float = 1.0
    """0: greedy."""
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Completion:
    tokens: list[int]
    """With the end-of-text token, if it ended on one."""
    logprobs: list[float]
    """Of each token under the distribution it was drawn from (temperature applied; of the plain one when greedy)."""
    finish: Literal["stop", "length"]
    text: str
    """Without the end-of-text token and without the stop string."""


def uniforms(keys: np.ndarray, position: int) -> np.ndarray:
    """One number in [0, 1) for each uint64 key at this position (splitmix64 finaliser): float64, shape of `keys`."""
    with np.errstate(over="ignore"):
        x = keys + np.uint64(position + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def stream_key(seed: int, sample: int) -> int:
    """Key of a sample's random stream."""
    mixed = uniforms(np.array([seed % 2**64], dtype=np.uint64), sample)
    return int(mixed[0] * 2**53) << 11 | (sample & 0x7FF)


@dataclass
class Row:
    """One sample being decoded."""

    request: int
    sample: int
    ask: Request
    key: int
    """Of its random stream."""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Engine:
    """Decodes with its own copy of the model in `dtype`; `load_weights` refreshes it from a trainer's state dict.

    `compiled`: the operators of octothinker.native, or plain PyTorch; None: compiled on a CPU where they are there."""

    def __init__(
        self,
        model: Llama,
        tokenizer: Tokenizer,
        batch: int = 256,
        dtype: torch.dtype = torch.float32,
        compiled: bool | None = None,
    ) -> None:
        self.config, self.tokenizer, self.batch, self.dtype = model.config, tokenizer, batch, dtype
        self.device = next(model.parameters()).device
        if compiled is None:
            compiled = self.device.type == "cpu" and native.library() is not None and fits(model.config, dtype)
        self.decoder = Decoder(model.config, dtype) if compiled else None
        if not compiled:
            self.model = Llama(model.config).to(self.device, dtype)
        self.ends = np.zeros(model.config.vocab_size, bool)
        self.ends[[i for i in tokenizer.eos_ids if i < model.config.vocab_size]] = True
        self.suspects: dict[str, np.ndarray] = {}
        self.load_weights(model.state_dict())

    def load_weights(self, state: dict[str, Tensor]) -> None:
        """Copy weights in, cast to the engine's dtype."""
        if self.decoder:
            self.decoder.load(state)
        else:
            self.model.load_state_dict(state)

    @torch.inference_mode()
    def generate(
        self, requests: list[Request], progress: Callable[[int, int], None] | None = None
    ) -> list[list[Completion]]:
        """n completions for each request, in order. `progress(tokens generated, samples finished)` is called as it goes."""
        for i, ask in enumerate(requests):
            if not ask.prompt or ask.max_tokens < 1:
                raise ValueError(
                    f"request {i}: needs a prompt and max_tokens >= 1 (got {len(ask.prompt)}, {ask.max_tokens})"
                )
        done: list[list[Completion | None]] = [[None] * ask.n for ask in requests]
        generated = finished = 0
        for row, finish in self._compiled(requests) if self.decoder else self._plain(requests):
            done[row.request][row.sample] = self._completion(row, finish)
            generated, finished = generated + len(row.tokens), finished + 1
            if progress:
                progress(generated, finished)
        return [[c for c in samples if c is not None] for samples in done]

    def _compiled(self, requests: list[Request]) -> Iterator[tuple[Row, Literal["stop", "length"]]]:
        rows = [Row(i, s, ask, stream_key(ask.seed, s)) for i, ask in enumerate(requests) for s in range(ask.n)]
        assert self.decoder
        if rows:
            yield from Batch(self.decoder, rows, self.batch, self.ends, self._suspects, self._stopped).run()

    def _plain(self, requests: list[Request]) -> Iterator[tuple[Row, Literal["stop", "length"]]]:
        # Alike lengths together: little padding, and rows that end at about the same time.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt), requests[i].max_tokens, i))
        asks = [(i, requests[i]) for i in order]
        rows = [Row(i, s, ask, stream_key(ask.seed, s)) for i, ask in asks for s in range(ask.n)]
        for start in range(0, len(rows), self.batch):
            yield from self._decode(rows[start : start + self.batch])

    def _completion(self, row: Row, finish: Literal["stop", "length"]) -> Completion:
        text = self.tokenizer.decode(row.tokens)
        cuts = [text.find(stop) for stop in row.ask.stop if stop in text]
        return Completion(
            tokens=row.tokens, logprobs=row.logprobs, finish=finish, text=text[: min(cuts)] if cuts else text
        )

    def _prefill(self, rows: list[Row], room: int) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor, Tensor]:
        """Run each distinct prompt once, and what they all begin with (few-shot examples) once for all. Columns:

            [ common prefix | padding | rest of the prompt | room to decode ]

        Returns, for the rows: last logits (B, V), caches k and v by layer (B, kv_heads, width + room, D), padding (B,)
        int64, and the key mask (B, width + room) bool."""
        prompts = {row.request: row.ask.prompt for row in rows}
        slot = {request: i for i, request in enumerate(prompts)}
        index = torch.tensor([slot[row.request] for row in rows], device=self.device)
        common = _common_prefix(list(prompts.values()))
        width = max(len(p) for p in prompts.values())
        padding = torch.tensor([width - len(p) for p in prompts.values()], device=self.device)
        fill = [self.tokenizer.pad_id] * width
        tokens = torch.tensor([fill[len(p) :] + p[common:] for p in prompts.values()], device=self.device)
        column = torch.arange(width, device=self.device)
        real = (column < common) | (column >= common + padding[:, None])  # (P, width)
        mask = (column <= column[common:, None]) & real[:, None, None, :]
        mask = mask | (column == column[common:, None])  # padding sees itself: no empty row of scores
        keys: list[Tensor] = []
        values: list[Tensor] = []
        if common:
            prefix = torch.tensor([next(iter(prompts.values()))[:common]], device=self.device)
            triangle = torch.ones(common, common, dtype=torch.bool, device=self.device).tril()
            self._forward(prefix, column[None, :common], triangle, keys, values)
        # Padding would have positions before the prefix's end: they are only kept from being negative.
        hidden = self._forward(tokens, (column[common:] - padding[:, None]).clamp(min=0), mask, keys, values)
        logits = self.model.logits(self.model.model.norm(hidden[:, -1]))
        for cache in (keys, values):
            cache[:] = [F.pad(c[index], (0, 0, 0, room)) for c in cache]
        return logits[index], keys, values, padding[index], F.pad(real[index], (0, room))

    def _forward(
        self, tokens: Tensor, positions: Tensor, mask: Tensor, keys: list[Tensor], values: list[Tensor]
    ) -> Tensor:
        """Hidden states (P, T, H) before the final norm of tokens (P, T) at positions (P, T); the caches by layer (empty
        lists, or one row's) become (P, kv_heads, past + T, D)."""
        cos, sin = (t[:, None] for t in rope_tables(self.model.frequencies, positions))
        x = self.model.model.embed_tokens(tokens)
        for n, layer in enumerate(self.model.model.blocks):
            attention = layer.self_attn
            q, k, v = attention.qkv(layer.input_layernorm(x), cos, sin)
            if len(keys) > n:
                k = torch.cat((keys[n].expand(len(k), -1, -1, -1), k), dim=2)
                v = torch.cat((values[n].expand(len(v), -1, -1, -1), v), dim=2)
                keys[n], values[n] = k, v
            else:
                keys.append(k)
                values.append(v)
            groups = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = x + attention.o_proj(out.transpose(1, 2).flatten(2))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return x

    def _decode(self, rows: list[Row]) -> list[tuple[Row, Literal["stop", "length"]]]:
        room = max(row.ask.max_tokens for row in rows)
        logits, keys, values, padding, mask = self._prefill(rows, room)
        width = mask.shape[1] - room
        streams = np.array([row.key for row in rows], dtype=np.uint64)
        temperature = torch.tensor([row.ask.temperature for row in rows], device=self.device)
        ended: list[tuple[Row, Literal["stop", "length"]]] = []
        running = [True] * len(rows)
        for position in range(room):
            tokens, logprobs = _sample(logits, temperature, uniforms(streams, position))
            for i, (row, token, logprob) in enumerate(zip(rows, tokens.tolist(), logprobs.tolist(), strict=True)):
                if not running[i]:
                    continue
                row.tokens.append(token)
                row.logprobs.append(logprob)
                if token in self.tokenizer.eos_ids or self._stopped(row.tokens, row.ask.stop):
                    ended.append((row, "stop"))
                    running[i] = False
                elif len(row.tokens) == row.ask.max_tokens:
                    ended.append((row, "length"))
                    running[i] = False
            keep = [i for i, alive in enumerate(running) if alive]
            if not keep:
                break
            used = width + position
            if len(keep) <= COMPACT * len(rows):
                rows, running = [rows[i] for i in keep], [True] * len(keep)
                left = torch.tensor(keep, device=self.device)
                streams, temperature, tokens = streams[keep], temperature[left], tokens[left]
                padding, mask = padding[left], mask[left]
                for cache in (keys, values):
                    for n, old in enumerate(cache):  # only the columns in use move; the rest is still zero
                        cache[n] = torch.cat((old[left, :, :used], old[: len(keep), :, used:]), dim=2)
            mask[:, used] = True
            logits = self._step(tokens, used, padding, mask, keys, values)
        return ended

    def _step(
        self, tokens: Tensor, column: int, padding: Tensor, mask: Tensor, keys: list[Tensor], values: list[Tensor]
    ) -> Tensor:
        """One token (B,) for every row, written to cache column `column`: logits (B, V)."""
        cos, sin = (t[:, None, None] for t in rope_tables(self.model.frequencies, column - padding))
        seen = mask[:, None, None, : column + 1]
        x = self.model.model.embed_tokens(tokens)[:, None]
        for n, layer in enumerate(self.model.model.blocks):
            attention = layer.self_attn
            q, k, v = attention.qkv(layer.input_layernorm(x), cos, sin)
            keys[n][:, :, column] = k[:, :, 0]
            values[n][:, :, column] = v[:, :, 0]
            # The query heads that share a KV head take the place of query positions: the cache is not copied per head.
            q = q.view(q.shape[0], k.shape[1], -1, q.shape[-1])
            past_k, past_v = keys[n][:, :, : column + 1], values[n][:, :, : column + 1]
            out = F.scaled_dot_product_attention(q, past_k, past_v, attn_mask=seen)
            x = x + attention.o_proj(out.reshape(out.shape[0], 1, -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.model.logits(self.model.model.norm(x[:, 0]))

    def _stopped(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        if not stop:
            return False
        longest = max(map(len, stop))
        # A token is at least one byte, so this many tokens cover the longest stop string.
        tail = self.tokenizer.decode(tokens[-4 * longest :])
        return any(s in tail for s in stop)

    def _suspects(self, stop: tuple[str, ...]) -> np.ndarray:
        """Tokens (V,) bool that may complete a stop string: that hold its last character, or a part of any character."""
        found = np.zeros(len(self.ends), bool)
        for last in {s[-1] for s in stop if s}:
            if last not in self.suspects:
                texts = self.tokenizer.decode_each(range(len(self.ends)))
                # Decoded alone, a token may lose a blank at its edge.
                held = [last == " " or last in text or "\ufffd" in text for text in texts]
                self.suspects[last] = np.array(held)
            found |= self.suspects[last]
        return found


def _common_prefix(prompts: list[list[int]]) -> int:
    """Tokens that all prompts begin with, at least one of each left over; 0 where sharing them is not worth a pass."""
    shortest, longest = min(prompts), max(prompts)  # in dictionary order: what these two share, all share
    most = min(map(len, prompts)) - 1
    shared = next((i for i, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b), most)
    shared = min(shared, most)
    return shared if len(prompts) > 1 and shared >= SHARED_PREFIX else 0


def _sample(logits: Tensor, temperature: Tensor, uniform: np.ndarray) -> tuple[Tensor, Tensor]:
    """Tokens (B,) by inverting the cumulative distribution at `uniform`, and their log-probabilities (B,) fp32.

    logits (B, V); temperature (B,), 0 for the arg-max. The sum is fp64: with large vocabularies fp32 would lose the tail.
    """
    greedy = temperature == 0
    scaled = logits.float() / torch.where(greedy, 1.0, temperature)[:, None]
    logprobs = scaled.log_softmax(dim=-1)
    best = scaled.argmax(dim=-1)
    if bool(greedy.all()):
        tokens = best
    else:
        cumulative = logprobs.double().exp().cumsum(dim=-1)
        point = torch.from_numpy(uniform).to(logits.device)[:, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, point, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
        tokens = torch.where(greedy, best, drawn)
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]
