"""What a run would do and cost, without running it: for `octo plan`, and for the order in which stages start.

FLOPs are counted, memory and time are estimates: they are meant to tell an hour from a week, and 20 GB from 200.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octothinker.config import RL, Experiment, Midtrain, ModelConfig
from octothinker.order import makespan
from octothinker.records import read_json
from octothinker.stage import ALL_RANKS, Stage, running, source_hash
from octothinker.typed import identity, to_json

TRAIN_EFFICIENCY, DECODE_EFFICIENCY = 0.25, 0.08
"""Share of the matmul peak that training and decoding reach (measured with models of 1 to 3M parameters on 2 CPU cores)."""
RESPONSE_SHARE = 0.5
"""Assumed mean response length, as a share of the limit."""
PROMPT_TOKENS = 256
"""Assumed longest prompt, for the size of the KV cache."""
DATA_SECONDS = 5.0
"""Stands for the time of a stage whose work is not known before it has run, as to tokenise; shown nowhere."""


@dataclass(frozen=True)
class Cost:
    train_flops: float = 0.0
    decode_flops: float = 0.0
    memory: float = 0.0
    """Bytes on each device."""
    steps: int | None = None
    tokens: int | None = None
    note: str = ""

    def seconds(self, flops_per_second: float) -> float:
        work = self.train_flops / TRAIN_EFFICIENCY + self.decode_flops / DECODE_EFFICIENCY
        return work / flops_per_second


@dataclass(frozen=True)
class Row:
    stage: Stage
    state: str
    """`cached`, `to do`, `stale`, `resumes`, `running` or `failed`."""
    why: tuple[str, ...]
    """What made a finished stage stale, or how an unfinished one failed."""
    cost: Cost
    seconds: float
    warning: str = ""


def model_shape(experiment: Experiment) -> ModelConfig | None:
    """Shape of the model, None when it is not here and not one that a shipped recipe knows."""
    if experiment.model.config is not None:
        vocab = experiment.tokenizer.vocab_size if experiment.tokenizer else experiment.model.config.vocab_size
        return ModelConfig(**{**vars(experiment.model.config), "vocab_size": vocab})
    from octothinker.model.hf import read_config
    from octothinker.recipes.octothinker import SHAPES

    path = str(experiment.model.path)
    return read_config(Path(path)) if (Path(path) / "config.json").exists() else SHAPES.get(path.partition("@")[0])


def training_memory(model: ModelConfig, tokens: int, precision: str, devices: int) -> float:
    """Bytes: weights, gradients and two Adam moments in fp32, sharded over the devices, and the activations of `tokens`
    tokens of one micro-batch, which are not recomputed."""
    width = 2 if precision == "bf16" else 4
    projections = (model.num_heads + 2 * model.num_kv_heads) * model.head_dim
    layer = 8 * model.hidden_size + 4 * model.intermediate_size + 2 * projections  # values kept for the backward
    logits = model.vocab_size * (width + 8)  # as computed, in fp32, and their gradient
    return 16.0 * model.num_parameters / devices + tokens * (model.num_layers * layer * width + logits)


def decoding_memory(model: ModelConfig, sequences: int, length: int, precision: str) -> float:
    width = 2 if precision == "bf16" else 4
    cache = 2 * model.num_layers * model.num_kv_heads * model.head_dim * (length + PROMPT_TOKENS)
    return float(width * (model.num_parameters + sequences * cache))


def cost(stage: Stage, experiment: Experiment, model: ModelConfig | None, out: Path, devices: int = 1) -> Cost:
    if stage.kind == "midtrain":
        return _midtrain_cost(stage.config.stage, experiment, stage, model, out, devices)
    if stage.kind == "rl" and experiment.rl is not None:
        return _rl_cost(experiment.rl, model, devices)
    if stage.kind == "eval":
        return _eval_cost(experiment, stage, model, out)
    result = _result(stage, out)
    if stage.kind == "shards":
        note = f"{result['documents']:,} documents" if result else "size unknown until tokenised"
        source = experiment.sources[stage.name.removeprefix("shards.")]
        note = "; ".join(filter(None, (note, source.licence and f"licence: {source.licence}", source.note)))
        return Cost(tokens=result.get("tokens"), note=note)
    return Cost(note=f"{result['n']:,} problems" if result and stage.kind == "problems" else "")


def _midtrain_cost(
    config: Midtrain, experiment: Experiment, stage: Stage, model: ModelConfig | None, out: Path, devices: int
) -> Cost:
    tokens = config.steps * config.tokens_per_step
    parts, unknown = [], ""
    for name, share in config.mixture.items():
        source = stage.inputs.get(f"shards.{name}")
        size = _result(source, out).get("tokens") if isinstance(source, Stage) else None
        parts.append(f"{name} {share:.4g}" + (f" ({tokens * share / size:.2g} epochs)" if size else ""))
        unknown = unknown if size else "; epochs unknown until tokenised"
    note = f"{config.schedule.kind} from {stage.config.lr:.3g}; {', '.join(parts)}{unknown}"
    if model is None:
        return Cost(steps=config.steps, tokens=tokens, note=note)
    rows = min(config.micro_batch, -(-config.batch_size // devices))
    return Cost(
        train_flops=model.flops_per_token(config.seq_len) * tokens,
        memory=training_memory(model, rows * config.seq_len, config.precision, devices),
        steps=config.steps,
        tokens=tokens,
        note=note,
    )


def _rl_cost(rl: RL, model: ModelConfig | None, devices: int) -> Cost:
    limits = [*rl.length.limits, (rl.steps, 0)]
    per_prompt = sum((min(b[0], rl.steps) - a[0]) * a[1] for a, b in itertools.pairwise(limits) if a[0] < rl.steps)
    most = per_prompt * rl.prompts_per_step * rl.group_size
    expected = most * RESPONSE_SHARE
    note = f"{rl.prompts_per_step} prompts x {rl.group_size}, at most {most:,} tokens"
    if model is None:
        return Cost(steps=rl.steps, note=note)
    memory = training_memory(model, rl.micro_batch_tokens, rl.precision, devices)
    memory += decoding_memory(model, rl.rollout_batch, rl.length.max_limit, rl.precision)
    return Cost(
        train_flops=model.flops_per_token(rl.length.max_limit) * expected,
        decode_flops=model.flops_per_token(rl.length.max_limit) / 3 * expected,
        memory=memory,
        steps=rl.steps,
        tokens=int(expected),
        note=note,
    )


def _eval_cost(experiment: Experiment, stage: Stage, model: ModelConfig | None, out: Path) -> Cost:
    config = experiment.eval
    sizes = [_result(s, out).get("n", config.limit) for role, s in stage.inputs.items() if role.startswith("problems.")]
    if model is None or None in sizes:
        return Cost(note=f"{', '.join(config.problems)}; how many problems is not known yet")
    count = sum(min(int(size or 0), config.limit or int(size or 0)) for size in sizes)
    expected = count * (config.samples + 1) * config.max_tokens * RESPONSE_SHARE
    return Cost(
        decode_flops=model.flops_per_token(config.max_tokens) / 3 * expected,
        memory=decoding_memory(model, config.batch, config.max_tokens, config.precision),
        tokens=int(expected),
        note=f"{count:,} problems x (1 greedy + {config.samples} sampled)",
    )


def _result(source: Any, out: Path) -> dict[str, Any]:
    if not (isinstance(source, Stage) and source.done(out)):
        return {}
    return dict(read_json(source.folder(out) / "manifest.json")["result"])


def newest(stage: Stage, out: Path) -> dict[str, Any] | None:
    """The manifest of the last finished stage of this name under another key."""
    found = [read_json(path) for path in (out / "stages").glob(f"{stage.name}-*/manifest.json")]
    found = [m for m in found if m["name"] == stage.name and m["key"] != stage.key]
    return max(found, key=lambda m: float(m["started"]), default=None)


def differences(stage: Stage, old: dict[str, Any]) -> list[str]:
    """What made the stage stale, as lines `field: old -> new`. Fields without part in the identity are not looked at."""
    if old["fn"] != stage.fn:
        return [f"function: {old['fn']} -> {stage.fn}"]
    lines = [] if old["version"] == stage.version else [f"version of {stage.fn}: {old['version']} -> {stage.version}"]
    lines += _compare(identity(stage.config), to_json(stage.config), old["config"], "")
    now = {role: source.key for role, source in stage.inputs.items()}
    for role in sorted({*now, *old["inputs"]}):
        if now.get(role) != old["inputs"].get(role):
            lines.append(f"its input {role}")
    return lines


def _compare(new: Any, full: Any, old: Any, where: str) -> list[str]:
    """`new` is the identity of `full`: what `full` has more takes no part; what only `old` has was taken out."""
    if isinstance(new, dict) and isinstance(full, dict) and isinstance(old, dict):
        keys = [*new, *(key for key in old if key not in full)]
        gone = "none"
        return [
            line
            for key in keys
            for line in _compare(
                new.get(key, gone), full.get(key, gone), old.get(key, gone), f"{where}.{key}".lstrip(".")
            )
        ]
    return [] if new == old else [f"{where}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def make_plan(
    stages: Sequence[Stage], experiment: Experiment, out: Path, flops_per_second: float, devices: int = 1, jobs: int = 1
) -> list[Row]:
    """A row for each stage. `flops_per_second`: matmul peak of one device, or of the whole CPU, which `jobs` stages share."""
    model = model_shape(experiment)
    rows = []
    for stage in stages:
        spent = cost(stage, experiment, model, out, devices)
        speed = flops_per_second * (devices if stage.kind in ALL_RANKS else 1) / jobs
        seconds = spent.seconds(speed) or DATA_SECONDS
        state, why = state_of(stage, out)
        warning = ""
        if state == "cached":
            code = read_json(stage.folder(out) / "manifest.json")["code"]
            if code != source_hash(stage.fn):
                module = stage.fn.partition(":")[0].rpartition(".")[0] or stage.fn
                warning = f"the source of {module} has changed since, its version ({stage.version}) has not"
        rows.append(Row(stage, state, tuple(why), spent, seconds, warning))
    return rows


def state_of(stage: Stage, out: Path) -> tuple[str, list[str]]:
    if stage.done(out):
        return "cached", []
    tmp = stage.tmp(out)
    if running(tmp):
        return "running", []
    if (tmp / "error.txt").exists():
        return "failed", [(tmp / "error.txt").read_text(encoding="utf-8").split("\n", 1)[0]]
    if tmp.exists():
        return "resumes", []
    old = newest(stage, out)
    return ("stale", differences(stage, old)) if old else ("to do", [])


def total_seconds(rows: Sequence[Row], jobs: int) -> float:
    """Expected time of what is missing."""
    todo = [row for row in rows if row.state != "cached"]
    return makespan([row.stage for row in todo], {row.stage.name: row.seconds for row in todo}, jobs)


def probe(precision: str) -> float:
    """FLOP/s of a matmul here, the best of half a second: other work on the machine slows some of them down."""
    import torch

    from octothinker.train.dist import device

    size = 8192 if device().type == "cuda" else 1024
    a = torch.randn(size, size, device=device(), dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    best, end = float("inf"), time.perf_counter() + 0.5
    while time.perf_counter() < end:
        began = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for the result
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best
