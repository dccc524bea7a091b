"""The compiled decoder (native/decode.cpp): packed weights, a paged KV cache, one call for a step of any rows.

    rows (token, position, sequence) -> keys and values into the sequence's pages -> a drawn token each

A page holds the keys and values of 16 positions in all layers. Sequences are tables of pages; what several have in common (a
prompt's samples, prompts that begin alike) they share by reference, page by page.
"""

from __future__ import annotations

import ctypes
import hashlib

import numpy as np
import torch
from torch import Tensor

from octothinker import native
from octothinker.config import ModelConfig
from octothinker.model.llama import rope_frequencies, rope_tables

PAGE = 16  # positions of a page; here and below as in decode.cpp
LANES = 32  # columns of a panel of weights

ROWS = 512  # rows of a prompt in one call: what a layer hands to the next then stays in the cache
ARENA = 16 * 2**20  # bytes by which the cache grows
KEEP = 64 * 2**20  # bytes of it that outlive a `generate`: getting memory anew takes a tenth of a small model's rollout
LOGITS = 16 * 2**20  # bytes of logits held at once

P, L = ctypes.c_void_p, ctypes.c_long


class _Layer(ctypes.Structure):
    _fields_ = [(n, P) for n in ("norm1", "qkv", "bias", "q_norm", "k_norm", "out", "norm2", "gate_up", "down")]


class _Model(ctypes.Structure):
    _fields_ = [
        *((n, L) for n in ("layers", "hidden", "heads", "kv_heads", "dim", "mlp", "vocab", "half")),
        ("eps", ctypes.c_double),
        *((n, P) for n in ("embed", "norm", "head", "cos", "sin", "layer")),
    ]


class _Rows(ctypes.Structure):
    _fields_ = [("count", L), *((n, P) for n in ("tokens", "positions", "sequences", "table")), ("width", L)]


class _Draw(ctypes.Structure):
    _fields_ = [(n, P) for n in ("keys", "counts", "temperatures", "tokens", "logprobs")]


def fits(config: ModelConfig, dtype: torch.dtype) -> bool:
    """Whether the compiled code can run this shape: rows of whole vectors."""
    sizes = (config.hidden_size, config.intermediate_size, config.num_heads * config.head_dim)
    return dtype in (torch.float32, torch.bfloat16) and all(n % 16 == 0 for n in sizes) and config.head_dim <= 512


class Decoder:
    """Weights and buffers. `load` before the first `run`."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        library = native.library()
        if library is None:
            raise RuntimeError("the compiled operators are not there, or are switched off (octothinker.native)")
        for name in ("octo_page_bytes", "octo_buffer_bytes"):
            getattr(library, name).restype = L
        self.library, self.config, self.half = library, config, dtype == torch.bfloat16
        self.kept: dict[str, np.ndarray] = {}  # what the structures below point to
        c = config
        self.model = _Model(
            layers=c.num_layers, hidden=c.hidden_size, heads=c.num_heads, kv_heads=c.num_kv_heads, dim=c.head_dim,
            mlp=c.intermediate_size, vocab=c.vocab_size, half=self.half, eps=c.norm_eps,
        )  # fmt: skip
        self.layers = (_Layer * c.num_layers)()
        self.model.layer = ctypes.addressof(self.layers)
        self.frequencies = rope_frequencies(config)
        self.positions = 0
        self.buffers = np.empty(0, np.uint8)
        self.arenas: list[np.ndarray] = []
        self.page_bytes = int(library.octo_page_bytes(ctypes.byref(self.model)))

    def load(self, state: dict[str, Tensor]) -> None:
        """Pack weights (fp32 or bf16, from any device)."""
        c = self.config
        q, kv = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
        self.model.embed = self._pack("embed", c.vocab_size, [(state["model.embed_tokens.weight"], 0)])
        head = None if c.tie_embeddings else state["lm_head.weight"]
        self.model.head = self.model.embed if head is None else self._pack("head", c.vocab_size, [(head, 0)])
        self.model.norm = self._vector("norm", [state["model.norm.weight"]])
        for i, layer in enumerate(self.layers):
            at, key = f"model.layers.{i}.", f"{i}."
            attention = at + "self_attn."
            layer.norm1 = self._vector(key + "norm1", [state[at + "input_layernorm.weight"]])
            layer.norm2 = self._vector(key + "norm2", [state[at + "post_attention_layernorm.weight"]])
            parts = [state[f"{attention}{n}_proj.weight"] for n in "qkv"]
            layer.qkv = self._pack(key + "qkv", q + 2 * kv, list(zip(parts, (0, q, q + kv), strict=True)))
            if c.family == "qwen2":
                layer.bias = self._vector(key + "bias", [state[f"{attention}{n}_proj.bias"] for n in "qkv"])
            if c.family == "qwen3":
                layer.q_norm = self._vector(key + "q_norm", [state[attention + "q_norm.weight"]])
                layer.k_norm = self._vector(key + "k_norm", [state[attention + "k_norm.weight"]])
            layer.out = self._pack(key + "out", c.hidden_size, [(state[attention + "o_proj.weight"], 0)])
            gate, up = (state[f"{at}mlp.{n}_proj.weight"] for n in ("gate", "up"))
            layer.gate_up = self._pack(key + "gate_up", 2 * c.intermediate_size, [(gate, 0), (up, 16)], group=16)
            layer.down = self._pack(key + "down", c.hidden_size, [(state[at + "mlp.down_proj.weight"], 0)])

    def _vector(self, name: str, parts: list[Tensor]) -> int:
        self.kept[name] = np.concatenate([p.detach().float().cpu().numpy() for p in parts])
        return self.kept[name].ctypes.data

    def _pack(self, name: str, columns: int, parts: list[tuple[Tensor, int]], group: int = LANES) -> int:
        """Matrices (out, in), each from its offset on; `group`: so many of their columns fill a panel in turn."""
        words = parts[0][0].shape[1] // (2 if self.half else 1)
        if name not in self.kept:
            self.kept[name] = np.zeros(-(-columns // LANES) * LANES * words, np.uint32)
        to = self.kept[name].ctypes.data
        for part, offset in parts:
            part = part.detach().cpu().contiguous()
            if part.dtype != torch.bfloat16:
                part = part.float()
            self.library.octo_pack(
                P(to), P(part.data_ptr()), L(part.dtype == torch.bfloat16), L(part.shape[0]), L(part.shape[1]),
                L(group), L(LANES), L(offset), L(self.half),
            )  # fmt: skip
        return to

    @property
    def weight_bytes(self) -> int:
        return sum(array.nbytes for array in self.kept.values())

    def prepare(self, longest: int) -> None:
        """Tables for sequences of up to this length."""
        if longest > self.positions:
            self.positions = max(longest, 2 * self.positions)
            half = self.config.head_dim // 2
            for name, table in zip(
                ("cos", "sin"), rope_tables(self.frequencies, torch.arange(self.positions)), strict=True
            ):
                self.kept[name] = table[:, :half].contiguous().numpy()
                setattr(self.model, name, self.kept[name].ctypes.data)

    def fill(self, tokens: np.ndarray, positions: np.ndarray, sequences: np.ndarray, table: np.ndarray) -> None:
        """Keys and values of prompts' tokens (n,) int32: each sequence's in order, whose earlier ones are in its pages."""
        for at in range(0, len(tokens), ROWS):
            piece = (tokens[at : at + ROWS], positions[at : at + ROWS], sequences[at : at + ROWS])
            self._run(*piece, table, apart=False)

    def draw(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        sequences: np.ndarray,
        table: np.ndarray,
        keys: np.ndarray,
        counts: np.ndarray,
        temperatures: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The token after each row (n,) int32 and its log-probability fp32; every row of another sequence.

        keys (n,) uint64, counts (n,) int32: of the random streams; temperatures (n,) fp32."""
        drawn, logprobs = np.empty(len(tokens), np.int32), np.empty(len(tokens), np.float32)
        draws = _Draw(*(a.ctypes.data for a in (keys, counts, temperatures, drawn, logprobs)))
        self._run(tokens, positions, sequences, table, apart=True, draws=draws)
        return drawn, logprobs

    def logits(self, tokens: np.ndarray, positions: np.ndarray, sequences: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Logits (n, vocabulary) fp32 after each row; rows as in `fill`."""
        out = np.empty((len(tokens), self.config.vocab_size), np.float32)
        self._run(tokens, positions, sequences, table, apart=False, copy=out)
        return out

    def _run(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        sequences: np.ndarray,
        table: np.ndarray,
        apart: bool,
        draws: _Draw | None = None,
        copy: np.ndarray | None = None,
    ) -> None:
        longest = table.shape[1] * PAGE
        self.prepare(longest)
        model, n = ctypes.byref(self.model), L(len(tokens))
        logit_rows = L(max(64, LOGITS // (4 * self.config.vocab_size)) if draws or copy is not None else 0)
        need = self.library.octo_buffer_bytes(model, n, L(longest), logit_rows)
        if need > len(self.buffers):
            self.buffers = np.empty(need, np.uint8)
        rows = _Rows(len(tokens), *(a.ctypes.data for a in (tokens, positions, sequences, table)), table.shape[1])
        self.library.octo_decode(
            model, ctypes.byref(rows), L(longest), L(apart), logit_rows,
            ctypes.byref(draws) if draws else None, P(copy.ctypes.data) if copy is not None else None,
            P(self.buffers.ctypes.data),
        )  # fmt: skip


class Pages:
    """Memory of the cache, handed out by the page (their addresses) and counted.

    A full page of a prompt has a name (a digest of all tokens up to its end), so that another prompt that begins alike finds
    it; it keeps the name after its last user, until it is handed out again."""

    def __init__(self, size: int, arenas: list[np.ndarray]) -> None:
        """size: bytes of a page; arenas: memory to use first, and to add to."""
        self.size, self.arenas = size, arenas
        self.users: dict[int, int] = {}
        self.free: dict[int, None] = {}  # in the order they became free
        self.names: dict[int, bytes] = {}
        self.found: dict[bytes, int] = {}
        for arena in arenas:
            self._add(arena)

    def _add(self, arena: np.ndarray) -> None:
        start = -(-arena.ctypes.data // 64) * 64  # a whole cache line
        count = (arena.size - 64) // self.size
        self.free.update(dict.fromkeys(range(start, start + count * self.size, self.size)))

    def take(self) -> int:
        if not self.free:
            self.arenas.append(np.empty(max(ARENA // self.size, 1) * self.size + 64, np.uint8))
            self._add(self.arenas[-1])
        page = next(iter(self.free))
        del self.free[page]
        ctypes.memset(page, 0, self.size)  # what is not yet written has a weight of 0, and 0 x NaN would be NaN
        self.users[page] = 1
        name = self.names.pop(page, b"")
        if self.found.get(name) == page:
            del self.found[name]
        return page

    def share(self, page: int) -> int:
        self.free.pop(page, None)
        self.users[page] = self.users.get(page, 0) + 1
        return page

    def drop(self, page: int) -> None:
        self.users[page] -= 1
        if not self.users[page]:
            del self.users[page]
            self.free[page] = None

    def copy(self, page: int) -> int:
        new = self.take()
        ctypes.memmove(new, page, self.size)
        return new

    def prompt(self, tokens: np.ndarray) -> tuple[list[int], int]:
        """Pages for these tokens (n,) int32, and how many of the tokens are already in them."""
        pages: list[int] = []
        known, name = 0, b""
        for at in range(0, len(tokens) - PAGE + 1, PAGE):
            name = hashlib.blake2b(name + tokens[at : at + PAGE].tobytes(), digest_size=16).digest()
            if known == at and name in self.found:
                pages.append(self.share(self.found[name]))
                known += PAGE
            else:
                pages.append(self.take())
                self.names[pages[-1]] = name
                self.found[name] = pages[-1]
        if len(tokens) % PAGE:
            pages.append(self.take())
        return pages, known
