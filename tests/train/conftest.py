"""A tiny model, a tokenizer and two shard folders, to train on in a second."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from octothinker.config import Midtrain, ModelConfig, Schedule
from octothinker.data.shards import write_shards
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import train_tokenizer


def tiny_config(vocab_size: int = 300) -> ModelConfig:
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
    )


@pytest.fixture
def tiny_model() -> Callable[[], Llama]:
    def make() -> Llama:
        model = Llama(tiny_config())
        model.init_weights(0)
        return model

    return make


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("inputs")
    rng = random.Random(0)
    sums = [f"{a}+{b}={a + b}" for a, b in ((rng.randint(0, 50), rng.randint(0, 50)) for _ in range(300))]
    words = [" ".join(rng.choices(("a", "cat", "sat", "on", "the", "mat"), k=rng.randint(3, 20))) for _ in range(200)]
    tokenizer = train_tokenizer(sums + words, 280)
    tokenizer.save(root / "tokenizer")
    for name, texts in (("sums", sums), ("words", words)):
        (root / name).mkdir()
        write_shards(texts, tokenizer, root / name)
    return {"tokenizer": root / "tokenizer", "shards.sums": root / "sums", "shards.words": root / "words"}


def stage(**changes: object) -> Midtrain:
    settings: dict[str, object] = {
        "name": "stable",
        "mixture": {"sums": 0.5, "words": 0.5},
        "tokens": 12 * 4 * 32,
        "seq_len": 32,
        "batch_size": 4,
        "schedule": Schedule(kind="constant", lr=1e-2),
        "precision": "fp32",
        "checkpoint_every": 1,
        "micro_batch": 2,
    }
    return Midtrain(**{**settings, **changes})  # type: ignore[arg-type]
