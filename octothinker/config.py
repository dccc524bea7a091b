"""One experiment, described once: frozen, typed, documented.

    recipe (Python function) -> Experiment -> JSON in the run folder -> the same Experiment

Fields marked `not_identity` (how often to checkpoint, how much fits on a device) do not change a result: changing them
never makes a finished stage stale. JSON, overrides and identity: typed.py.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from octothinker.typed import ConfigError, check, not_identity, suggest


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Llama 3's RoPE frequency scaling (`rope_type: llama3`)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position: int


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder of the Llama family. `family` decides the two differences: qwen2 has QKV biases, qwen3 has QK norms."""

    family: Literal["llama", "qwen2", "qwen3"] = "llama"
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tie_embeddings: bool = True
    max_position: int = 8192

    def __post_init__(self) -> None:
        check(
            self.num_heads % self.num_kv_heads == 0,
            f"num_heads={self.num_heads} must be a multiple of num_kv_heads={self.num_kv_heads}",
        )
        check(self.head_dim % 2 == 0, f"head_dim={self.head_dim} must be even (RoPE rotates pairs)")

    @property
    def num_parameters(self) -> int:
        h, d = self.hidden_size, self.head_dim
        qkv = (self.num_heads + 2 * self.num_kv_heads) * d
        layer = h * qkv + self.num_heads * d * h + 3 * h * self.intermediate_size + 2 * h
        layer += qkv if self.family == "qwen2" else 0
        layer += 2 * d if self.family == "qwen3" else 0
        return self.vocab_size * h * (1 if self.tie_embeddings else 2) + self.num_layers * layer + h

    def flops_per_token(self, seq_len: int) -> float:
        """Forward + backward FLOPs for one token: 6 per matmul weight, and attention over `seq_len/2` keys on average."""
        embedding = 0 if self.tie_embeddings else self.vocab_size * self.hidden_size
        matmul = self.num_parameters - embedding
        return 6.0 * matmul + 6.0 * self.num_layers * self.num_heads * self.head_dim * seq_len


@dataclass(frozen=True, kw_only=True)
class StartModel:
    """Where the experiment begins: an existing model, or random weights of a given shape."""

    path: str | None = None
    """A Hugging Face model folder, or `owner/name[@revision]` on the hub."""
    config: ModelConfig | None = None
    """Shape of a randomly initialised model; `vocab_size` is taken from the tokenizer."""

    def __post_init__(self) -> None:
        check(
            (self.path is None) != (self.config is None),
            "model: give either `path` (an existing model) or `config` (random weights), not both or neither",
        )


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """A byte-level BPE trained on the sources, one token a digit. Only for models that start from random weights."""

    vocab_size: int
    sources: tuple[str, ...]
    max_documents: int = 20_000
    """Documents read of each source."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Documents, from files or from a generator; `template` or `messages` turn one into the text that is trained on."""

    path: str | None = None
    """A file, folder or glob of .jsonl[.gz|.zst] / .parquet, `hf://datasets/owner/name[@revision]/glob`, or a folder of
    finished shards (`octo corpus build`), made with the same tokenizer."""
    generator: str | None = None
    """`module:function`; called with `args`, yields documents (dicts)."""
    args: dict[str, Any] = field(default_factory=dict)
    template: str = "{text}"
    """Text of a document, from its fields: `Question: {question}\\nAnswer: {answer}`."""
    messages: str | None = None
    """Field with a conversation ([{"role", "content"}]); rendered as `User:…\\nAssistant:…` in place of the template."""
    max_documents: int | None = None
    licence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        check(
            (self.path is None) != (self.generator is None),
            "source: give either `path` or `generator` (module:function), not both or neither",
        )


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Problems with verifiable answers: rows of {"id", "question", "answer"} and optionally "level"."""

    path: str | None = None
    """A .jsonl file, or a folder that holds one named `<split>.jsonl`."""
    generator: str | None = None
    """`module:function`; called with `args`, yields rows."""
    args: dict[str, Any] = field(default_factory=dict)
    question: str = "question"
    """Field names of the file, where they differ."""
    answer: str = "answer"
    level: str = "level"
    skip_empty_answers: bool = False
    """Leave out, and count, rows whose answer is empty, which are an error otherwise (MATH8K has two)."""

    def __post_init__(self) -> None:
        check(
            (self.path is None) != (self.generator is None),
            "problems: give either `path` or `generator` (module:function), not both or neither",
        )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate as a pure function of tokens seen in this stage (train/schedule.py)."""

    kind: Literal["constant", "cosine", "linear", "1-sqrt"]
    lr: float | None = None
    """Peak rate; None: whatever the parent stage had at the point where this one starts."""
    final_ratio: float = 0.1
    """Rate at the end, as a share of the peak (not for `constant`)."""
    warmup_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Decoupled weight decay (Loshchilov & Hutter 2019); norms, biases and embeddings are not decayed unless asked."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    decay_embeddings: bool = False
    clip_norm: float = 1.0
    muon: bool = False
    """Muon for the hidden matrices, at the same learning rate; one process only."""


@dataclass(frozen=True, kw_only=True)
class Midtrain:
    """One mid-training stage: stable, or a decay branch that forks from another stage's checkpoint."""

    name: str
    parent: str | None = None
    """Name of the stage it continues; None: the experiment's start model."""
    fork_step: int | None = None
    fork_tokens: int | None = None
    """Where in the parent to fork (a kept checkpoint); None for both: its end."""
    mixture: dict[str, float]
    """Source -> share of tokens; sums to 1."""
    tokens: int
    seq_len: int
    batch_size: int
    """Sequences per optimiser step, over all ranks."""
    schedule: Schedule
    optimizer: AdamW = AdamW()
    document_mask: bool = True
    """Attention stays inside a document."""
    carry_optimizer: bool = True
    """A branch starts with its parent's Adam moments rather than zeros."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Compute precision; master weights and optimiser state are always fp32."""
    max_bad_steps: int = 5
    """Consecutive steps with a non-finite loss or a gradient spike that are skipped before training stops."""
    spike_factor: float = 20.0
    """A gradient norm above this multiple of its running mean is a spike."""
    micro_batch: int = not_identity(8)
    """Sequences per forward pass on one device."""
    compile: bool = not_identity(False)
    """torch.compile the plain network, in place of the compiled operators."""
    checkpoint_every: int = not_identity(0)
    """Steps between resume points; 0: about every tenth of the stage."""
    keep_last: int = not_identity(2)
    keep_every: int = not_identity(0)
    """Steps between checkpoints that are kept for good, to fork from; 0: none but the last."""

    def __post_init__(self) -> None:
        total = sum(self.mixture.values())
        check(
            abs(total - 1.0) < 1e-6,
            f"midtrain.{self.name}.mixture: shares sum to {total:.6g}, not 1 ({self.mixture})",
        )
        bad = [name for name, share in self.mixture.items() if share < 0]
        check(not bad, f"midtrain.{self.name}.mixture: negative share of {bad}")
        check(
            self.fork_step is None or self.fork_tokens is None,
            f"midtrain.{self.name}: give fork_step or fork_tokens, not both",
        )
        check(self.tokens >= self.tokens_per_step, f"midtrain.{self.name}.tokens={self.tokens} is less than one step")

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def steps(self) -> int:
        return self.tokens // self.tokens_per_step


@dataclass(frozen=True, kw_only=True)
class LengthSchedule:
    """Maximum response length as a function of the rollout step (PAPER: 2k -> 4k -> 8k)."""

    limits: tuple[tuple[int, int], ...]
    """(first rollout step, limit in tokens), rising; the first starts at step 0. One entry: a fixed limit."""
    adaptive_truncation: float | None = None
    """If set, the next limit comes as soon as the share of truncated responses exceeds this, not at its step."""
    patience: int = 4
    """Steps over which the truncation rate is averaged when adaptive."""

    def __post_init__(self) -> None:
        check(bool(self.limits) and self.limits[0][0] == 0, "length.limits: the first entry must start at step 0")
        check(
            all(a[0] < b[0] for a, b in zip(self.limits, self.limits[1:], strict=False)),
            f"length.limits: first steps must rise, got {self.limits}",
        )

    @property
    def max_limit(self) -> int:
        return max(limit for _, limit in self.limits)


@dataclass(frozen=True, kw_only=True)
class RL:
    """R1-Zero style RL with verifiable rewards, identical for every model it starts from."""

    problems: str
    """Name of the problem set whose questions are the prompts."""
    steps: int
    """Rollout steps."""
    prompts_per_step: int = 128
    group_size: int = 16
    minibatch_prompts: int = 64
    """Prompts per optimiser step: prompts_per_step / minibatch_prompts gradient steps a rollout step."""
    template: str = "simple"
    """`simple`, `complex`, or a text of your own with {question} in it (data/prompts.py)."""
    stop: tuple[str, ...] = ()
    """Strings that end a response."""
    temperature: float = 1.0
    length: LengthSchedule
    lr: float = 1e-6
    lr_warmup_steps: int = 0
    optimizer: AdamW = AdamW(beta2=0.999, weight_decay=0.01)
    clip_low: float = 0.2
    clip_high: float = 0.2
    advantage: Literal["grpo", "dr_grpo"] = "grpo"
    """`grpo` divides a group's centred rewards by their standard deviation, `dr_grpo` does not."""
    aggregate: Literal["token_mean", "sequence_mean"] = "token_mean"
    kl_coef: float = 0.0
    """Weight of the k3 KL estimate to the start model in the loss; 0: measured on a sample, not optimised."""
    filter_zero_variance: bool = False
    """Leave groups whose rewards are all equal out of the update."""
    mask_truncated: bool = False
    reward_correct: float = 1.0
    reward_wrong: float = -1.0
    precision: Literal["fp32", "bf16"] = "bf16"
    eval_problems: str | None = None
    """Problem set for the validation during RL; None: no validation."""
    eval_every: int = 4
    eval_limit: int = 128
    """Problems of a validation."""
    micro_batch_tokens: int = not_identity(8_192)
    """Tokens per forward pass of the update, in packed rows."""
    rollout_batch: int = not_identity(256)
    """Sequences decoded together."""
    checkpoint_every: int = not_identity(10)
    keep_last: int = not_identity(2)

    def __post_init__(self) -> None:
        check(
            self.prompts_per_step % self.minibatch_prompts == 0,
            f"rl.prompts_per_step={self.prompts_per_step} must be a multiple of "
            f"rl.minibatch_prompts={self.minibatch_prompts}",
        )
        check(self.group_size >= 2, "rl.group_size must be at least 2: the group's mean is the baseline")


@dataclass(frozen=True, kw_only=True)
class Eval:
    """How a model is measured; the same protocol before and after RL."""

    problems: tuple[str, ...]
    """Problem sets (or names of benchmarks, with `data`) it is measured on."""
    samples: int = 8
    """Sampled answers a problem, for sampled accuracy and pass@k; the greedy answer comes on top."""
    samples_small: int = 0
    """The same on sets of at most 100 problems, where more than `samples`: 30 problems of one sample tell nothing."""
    temperature: float = 1.0
    max_tokens: int = 1024
    limit: int | None = None
    """Problems of each set (the first ones); None: all."""
    template: str = "simple"
    """As for RL; or `few_shot`: the benchmark's own exemplars."""
    stop: tuple[str, ...] = ()
    answer: Literal["boxed", "benchmark"] = "boxed"
    """`boxed`: the last complete box and nothing else; `benchmark`: the benchmark's own rule (anchor, box, last number)."""
    pass_k: tuple[int, ...] = (1, 2, 4, 8)
    precision: Literal["fp32", "bf16"] = "bf16"
    batch: int = not_identity(256)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The whole: model, sources, mid-training stages, RL from some of them, evaluation, seeds."""

    name: str
    note: str = ""
    seeds: tuple[int, ...] = (0,)
    model: StartModel
    tokenizer: TokenizerConfig | None = None
    """None: the start model's own."""
    sources: dict[str, Source]
    problems: dict[str, Problems]
    midtrain: tuple[Midtrain, ...]
    rl: RL | None = None
    rl_from: tuple[str, ...] = ()
    """Mid-training stages (or `start`, the start model itself) that RL starts from."""
    base: str = "start"
    """Which of `rl_from` the others are compared with: the model without mid-training."""
    eval: Eval
    threads: int = not_identity(0)
    """CPU threads a stage; 0: all cores divided by the number of jobs. Bit-equal reruns need the same number."""

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.midtrain]
        check(len(set(names)) == len(names), f"midtrain: two stages share a name in {names}")
        check(bool(self.seeds), "seeds: at least one")
        check(
            (self.model.config is None) == (self.tokenizer is None),
            "tokenizer: needed for a model with random weights, and only there",
        )
        for i, stage in enumerate(self.midtrain):
            known = names[:i]
            if stage.parent is not None and stage.parent not in known:
                raise ConfigError(
                    f"midtrain.{stage.name}.parent={stage.parent!r} is not an earlier stage{suggest(stage.parent, known)}"
                )
            for source in stage.mixture:
                self._known("midtrain." + stage.name + ".mixture", source, self.sources)
        for source in self.tokenizer.sources if self.tokenizer else ():
            self._known("tokenizer.sources", source, self.sources)
        inits = [*names, "start"] if self.model.path else names
        for name in self.rl_from:
            self._known("rl_from", name, inits)
        if self.rl_from:
            check(self.rl is not None, "rl_from names models, but there is no rl")
            self._known("base", self.base, self.rl_from)
        if self.rl:
            self._known("rl.problems", self.rl.problems, self.problems)
            if self.rl.eval_problems:
                self._known("rl.eval_problems", self.rl.eval_problems, self.problems)
        for name in self.eval.problems:
            self._known("eval.problems", name, self.problems)

    @staticmethod
    def _known(where: str, name: str, known: typing.Iterable[str]) -> None:
        if name not in known:
            raise ConfigError(f"{where}: {name!r} does not exist{suggest(name, known)}")

    def stage(self, name: str) -> Midtrain:
        return next(stage for stage in self.midtrain if stage.name == name)
