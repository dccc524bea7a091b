"""What is compared: the works of issue 3 and the settings each peer is tried in before the fastest is compared.

Sizes are in the fields; the same numbers go to both sides and to the floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from octothinker.typed import ConfigError, check, suggest

Setting = dict[str, Any]
ALONE = ("peak", "nano", "grading", "classifier")  # not about a model, or without a peer; run only when asked for


@dataclass(frozen=True, kw_only=True)
class Work:
    name: str
    kind: Literal["rollout", "grpo", "midtrain", "grading"]
    model: str
    """`nano`, `nano-<width>` (random weights) or `smollm2`."""
    reach: dict[str, float | None]
    """Peer -> the ratio to reach; None: none is set."""
    prompts: int = 0
    """For grading: pairs of gold and response."""
    group: int = 16
    tokens: int = 128
    """New tokens of every response."""
    seq_len: int = 0
    batch: int = 256
    """Sequences: an optimiser step's (midtrain), decoded together (rollout)."""
    steps: int = 1
    """Optimiser steps a round."""
    lr: float = 1e-5
    ours: Setting = field(default_factory=dict)
    """Fields of our stage's config that the recipe of this model sets too."""
    trial: Setting = field(default_factory=dict)
    """Smaller sizes for choosing among a peer's settings."""
    curve: str = ""
    x: float = 0.0

    @property
    def amount(self) -> float:
        """Of the unit, a round."""
        if self.kind == "grading":
            return float(self.prompts)
        if self.kind == "midtrain":
            return float(self.steps * self.batch * self.seq_len)
        return float(self.prompts * self.group * (self.tokens if self.kind == "rollout" else self.steps))

    @property
    def unit(self) -> str:
        return {"grpo": "responses/s", "grading": "pairs/s"}.get(self.kind, "tokens/s")


def _rollout(model: str, sequences: int, group: int = 16, name: str = "", **fields: Any) -> Work:
    name = name or f"rollout-{model}-{sequences}"
    return Work(name=name, kind="rollout", model=model, prompts=sequences // group, group=group, **fields)


def _midtrain(model: str, seq_len: int, tokens: int, steps: int, reach: float | None = 1.5) -> Work:
    return Work(
        name=f"midtrain-{model}-{seq_len}",
        kind="midtrain",
        model=model,
        reach={"transformers": reach},
        seq_len=seq_len,
        batch=max(tokens // seq_len, 1),
        steps=steps,
    )


SMALL_RL = {"micro_batch_tokens": 2_048, "rollout_batch": 128}  # as the recipe smollm2-135m
PAIR = {"transformers": 2.5, "vllm": 1.2}
WORKS = (
    _rollout("nano", 256, name="rollout-nano", reach={"transformers": 3.0}),
    _rollout("smollm2", 32, reach=PAIR, trial={"tokens": 32}),
    _rollout("smollm2", 128, reach=PAIR, trial={"tokens": 16}),
    Work(name="grpo-nano", kind="grpo", model="nano", reach={"trl": 4.0}, prompts=8),
    Work(
        name="grpo-smollm2",
        kind="grpo",
        model="smollm2",
        reach={"trl": 2.0},
        prompts=8,
        tokens=64,
        ours=SMALL_RL,
        trial={"prompts": 2, "tokens": 16},
    ),
    _midtrain("nano", 512, 8_192, steps=8),
    _midtrain("nano", 2_048, 8_192, steps=8),
    _midtrain("smollm2", 512, 2_048, steps=1),
    _midtrain("smollm2", 2_048, 2_048, steps=1),
)
SMOKE = (
    _rollout("nano", 4, group=2, name="rollout-nano", reach={"transformers": None}, tokens=8),
    replace(_midtrain("nano", 64, 128, steps=1, reach=None), name="midtrain-nano"),
    Work(name="grpo-nano", kind="grpo", model="nano", reach={"trl": None}, prompts=2, group=2, tokens=8),
)

GRADING = Work(
    name="grading",
    kind="grading",
    model="",
    reach={"math-verify": None, "mathruler": None, "verl": None},
    prompts=1_000,
)


def _curves() -> Iterator[Work]:
    """One size at a time; names tell the point, `curve` the line it lies on and `x` where."""
    plain: dict[str, float | None] = {"transformers": None}
    for model, counts, tokens in (("nano", (1, 4, 16, 64, 256, 512), 128), ("smollm2", (1, 8, 32, 128), 32)):
        for n in counts:
            point = _rollout(model, n, group=min(n, 16), reach=plain, tokens=tokens)
            yield replace(point, curve=f"rollout {model}: sequences", x=n)
    for t in (32, 64, 128, 256, 512):
        point = _rollout("nano", 64, name=f"rollout-nano-64x{t}", reach=plain, tokens=t)
        yield replace(point, curve="rollout nano, 64 sequences: new tokens", x=t)
    for model, tokens, steps, lengths in (
        ("nano", 8_192, 4, (128, 256, 512, 1_024, 2_048)),
        ("smollm2", 2_048, 1, (128, 512, 2_048)),
    ):
        for t in lengths:
            point = _midtrain(model, t, tokens, steps, reach=None)
            yield replace(point, curve=f"midtrain {model}, {tokens:,} tokens a step: sequence length", x=t)
    for width in (64, 128, 256, 512):
        point = _rollout(f"nano-{width}", 64, reach=plain)
        yield replace(point, curve="rollout, 64 sequences: width of nano", x=width)
        point = _midtrain(f"nano-{width}", 512, 8_192, steps=2, reach=None)
        yield replace(point, curve="midtrain, 8,192 tokens a step: width of nano", x=width)


CURVES = tuple(_curves())

SETTINGS: dict[tuple[str, str], dict[str, Setting]] = {
    ("transformers", "rollout"): {
        "bf16 sdpa dynamic": {"dtype": "bf16", "attention": "sdpa", "cache": None},
        "bf16 eager dynamic": {"dtype": "bf16", "attention": "eager", "cache": None},
        "bf16 sdpa static": {"dtype": "bf16", "attention": "sdpa", "cache": "static"},
        "bf16 sdpa static compiled": {"dtype": "bf16", "attention": "sdpa", "cache": "static", "compile": True},
        "bf16 eager static compiled": {"dtype": "bf16", "attention": "eager", "cache": "static", "compile": True},
        "fp32 sdpa dynamic": {"dtype": "fp32", "attention": "sdpa", "cache": None},
        "fp32 sdpa static": {"dtype": "fp32", "attention": "sdpa", "cache": "static"},
        "fp32 sdpa static compiled": {"dtype": "fp32", "attention": "sdpa", "cache": "static", "compile": True},
    },
    ("transformers", "midtrain"): {
        "bf16": {"bf16": True, "compile": False},
        "bf16 compiled": {"bf16": True, "compile": True},
        "fp32": {"bf16": False, "compile": False},
        "fp32 compiled": {"bf16": False, "compile": True},
    },
    ("vllm", "rollout"): {  # libiomp5: preloaded, as its CPU guide says; it lies in vLLM's venv
        "bf16 compiled, libiomp5": {"eager": False, "preload": "lib/libiomp5.so"},
        "bf16 compiled": {"eager": False},
        "bf16 eager, libiomp5": {"eager": True, "preload": "lib/libiomp5.so"},
        "bf16 eager": {"eager": True},
        "fp32 compiled, libiomp5": {"eager": False, "preload": "lib/libiomp5.so", "dtype": "float32"},
        "fp32 compiled": {"eager": False, "dtype": "float32"},
    },
    ("trl", "grpo"): {
        "bf16 autocast, 128 rows": {"bf16": True, "weights": "float32", "rows": 128},
        "bf16 autocast, 16 rows": {"bf16": True, "weights": "float32", "rows": 16},
        "bf16 weights, 128 rows": {"bf16": True, "weights": "bfloat16", "rows": 128},
        "bf16 weights, 16 rows": {"bf16": True, "weights": "bfloat16", "rows": 16},
        "fp32, 128 rows": {"bf16": False, "weights": "float32", "rows": 128},
        "fp32, 16 rows": {"bf16": False, "weights": "float32", "rows": 16},
    },
}


def settings(peer: str, kind: str, only: Sequence[str], precision: str) -> dict[str, Setting]:
    """What a peer is tried in: those of its settings that `only` names, all if it names none; `first`: its first in
    `precision`."""
    own = SETTINGS[peer, kind]
    first = next(name for name in own if name.startswith(precision))
    known = ["first", *dict.fromkeys(name for settings in SETTINGS.values() for name in settings)]
    for name in only:
        check(name in known, f"--setting {name!r}: no peer has a setting of that name{suggest(name, known)}")
    return {name: own[name] for name in [first if n == "first" else n for n in only] if name in own} or own


def chosen(names: list[str], works: tuple[Work, ...]) -> list[Work]:
    """Works by name; a beginning of a name stands for all that begin so (`midtrain`, `rollout-smollm2`)."""
    for name in names:
        if not any(f"{work.name}-".startswith(f"{name}-") for work in works):
            raise ConfigError(f"octo bench {name}: no such work{suggest(name, [*ALONE, *(w.name for w in works)])}")
    return [work for work in works if any(f"{work.name}-".startswith(f"{name}-") for name in names)]
