"""What both sides are given: a model folder with the same weights, prompts, problems, tokens to train on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from octothinker.bench.works import Work
from octothinker.config import ModelConfig, Problems
from octothinker.data.problems import read_problems
from octothinker.data.shards import write_shards
from octothinker.model.hf import read_config, save_model
from octothinker.model.llama import Llama
from octothinker.model.smollm2 import import_smollm2
from octothinker.model.tokenizer import Tokenizer, train_tokenizer
from octothinker.recipes.nano import GENERATORS, nano
from octothinker.recipes.nano_problems import worked_text
from octothinker.rl.rollout import prompt_tokens


class Bench:
    """Folders under `root`, made when first asked for."""

    def __init__(self, root: Path, threads: int, smollm2: Path | None = None) -> None:
        self.root, self.threads = root, threads
        self._models: dict[str, Path] = {} if smollm2 is None else {"smollm2": smollm2}

    def model(self, name: str) -> Path:
        if name not in self._models:
            out = self.root / name
            self._models[name] = import_smollm2(out) if name == "smollm2" else _nano(out, name)
        return self._models[name]

    def config(self, work: Work) -> ModelConfig:
        return read_config(self.model(work.model))

    def spec(self, work: Work) -> dict[str, Any]:
        """All that a side of `work` must know; side and setting are added to it."""
        if work.kind == "grading":
            return {**dataclasses.asdict(work), "threads": self.threads}
        folder = self.model(work.model)
        tokenizer = Tokenizer.load(folder)
        spec = {**dataclasses.asdict(work), "folder": str(folder), "threads": self.threads}
        if work.kind == "midtrain":
            return {**spec, "shards": str(self._shards(work, tokenizer))}
        args = {"split": "train", "per_level": work.prompts, "seed": 0, "levels": [2]}
        problems = read_problems(Problems(generator=f"{GENERATORS}:problems", args=args))[: work.prompts]
        path = self.root / f"problems-{work.prompts}"
        path.mkdir(exist_ok=True)
        lines = [json.dumps(dataclasses.asdict(problem)) + "\n" for problem in problems]
        (path / "problems.jsonl").write_text("".join(lines), encoding="utf-8")
        prompts = [prompt_tokens(tokenizer, "simple", problem.question) for problem in problems]
        return {**spec, "prompts": prompts, "problems": str(path)}

    def _shards(self, work: Work, tokenizer: Tokenizer) -> Path:
        """Documents longer than any row, so that attention within a document is plain causal attention, as the peer's."""
        out = self.root / f"shards-{work.model}"
        if not out.exists():
            text = "\n\n".join(document["text"] for document in worked_text(documents=500, seed=0))
            write_shards([text] * 4, tokenizer, out)
        return out


def _nano(out: Path, name: str) -> Path:
    """Random weights in the shape of the recipe `nano`; `nano-256`: with that width."""
    shape = nano().model.config
    assert shape is not None
    if name != "nano":
        width = int(name.removeprefix("nano-"))
        shape = dataclasses.replace(
            shape, hidden_size=width, intermediate_size=3 * width, num_heads=width // 32, num_kv_heads=width // 64
        )
    shape = dataclasses.replace(shape, max_position=8192)
    texts = (document["text"] for document in worked_text(documents=2_000, seed=0))
    tokenizer = train_tokenizer(texts, shape.vocab_size)
    model = Llama(shape)
    model.init_weights(0)
    save_model(out, model, tokenizer)
    return out
