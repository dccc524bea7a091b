"""Model folders: theirs opens here, ours opens there, and what does not fit is named."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from octothinker.config import ModelConfig, RopeScaling
from octothinker.model import hf
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer
from octothinker.typed import ConfigError

TOKENS = torch.arange(40).reshape(2, 20) * 7 % 300


@pytest.fixture
def folder(tiny: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny[0], tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; a value of ... removes the key."""
    value = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not ...}))


def small(**changes: Any) -> Llama:
    shape = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_layers": 2}
    heads = {"num_heads": 4, "num_kv_heads": 2, "head_dim": 8}
    model = Llama(ModelConfig(**{**shape, **heads, **changes}))
    model.init_weights(0)
    return model


# --- both directions


def test_ours_opens_in_transformers_sharded(tiny: tuple[Path, Any], tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = hf.load_model(tiny[0])
    hf.save_model(tmp_path, model, tiny_tokenizer, max_shard_bytes=60_000)
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(shards) > 3
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    index = json.loads((tmp_path / hf.INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(4 * p.numel() for p in model.parameters())
    assert ("lm_head.weight" in index["weight_map"]) == (not model.config.tie_embeddings)
    assert not list(tmp_path.glob("*.tmp"))

    theirs, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert theirs.dtype == torch.float32
    with torch.no_grad():
        assert (theirs(TOKENS).logits - model(TOKENS)).abs().max() < 1e-4
    opened = AutoTokenizer.from_pretrained(tmp_path)
    texts = ["Is 7 + 30 = 42? No. "]
    if (
        model.config.family != "qwen2"
    ):  # there transformers 5 puts Qwen2's split in place of ours: train_tokenizer's note
        texts += ["two blanks  42,\nit's.\n\n  So (yes)"]
    assert [opened(text).input_ids for text in texts] == tiny_tokenizer.encode_batch(texts)
    assert opened.eos_token_id == opened.pad_token_id == theirs.config.eos_token_id == tiny_tokenizer.eos_id
    assert theirs.config.bos_token_id is None  # not the 1 that transformers would assume
    assert theirs.generation_config.eos_token_id == [tiny_tokenizer.eos_id]


def test_ours_opens_here_bit_equal(tiny: tuple[Path, Any], tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    model = hf.load_model(tiny[0])
    for dtype, limit in (
        (torch.float32, 60_000),
        (torch.bfloat16, 5e9),
    ):  # the second save drops the first one's shards
        model = model.to(dtype)
        hf.save_model(tmp_path, model, tiny_tokenizer, max_shard_bytes=limit)
        again = hf.load_model(tmp_path, dtype)
        assert again.config == model.config
        assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
        assert Tokenizer.load(tmp_path).hash == tiny_tokenizer.hash
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_loaded_weights_train_and_take_a_dtype(tiny: tuple[Path, Any]) -> None:
    model = hf.load_model(tiny[0], torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert all(p.requires_grad and p.device.type == "cpu" for p in model.parameters())
    assert model.frequencies.dtype == torch.float32  # bf16 positions would blur after 256
    model(TOKENS).float().logsumexp(-1).mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_training_leaves_the_files_alone_and_may_save_over_them(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    """safetensors maps the file into memory: neither a step in place nor a save may change what is being read."""
    hf.save_model(tmp_path, small(), tiny_tokenizer)
    model, before = hf.load_model(tmp_path), (tmp_path / "model.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    hf.save_model(tmp_path, model, tiny_tokenizer)
    again = hf.load_model(tmp_path).state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


def test_saved_files_are_readable_by_others(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    """safetensors creates files as 0600; the config's mode is what the umask gives."""
    hf.save_model(tmp_path, small(), tiny_tokenizer)
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode


def test_a_torn_save_is_no_model(tmp_path: Path, tiny_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving over a finished folder fails at the second shard: the mixture of old and new must not load."""
    hf.save_model(tmp_path, small(), tiny_tokenizer, max_shard_bytes=9_000)
    count, right = [0], hf.save_file

    def fails_later(*args: Any, **kwargs: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise OSError("disk full")
        right(*args, **kwargs)

    monkeypatch.setattr(hf, "save_file", fails_later)
    with pytest.raises(OSError, match="disk full"):
        hf.save_model(tmp_path, small(), tiny_tokenizer, max_shard_bytes=9_000)
    with pytest.raises(ConfigError, match=r"no config\.json"):
        hf.load_model(tmp_path)


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match=f"{tiny_tokenizer.vocab_size} tokens, the model embeds 200"):
        hf.save_model(tmp_path, small(vocab_size=200), tiny_tokenizer)


# --- config.json


def test_config_reads_what_transformers_computes(tiny: tuple[Path, Any]) -> None:
    config, theirs = hf.read_config(tiny[0]), tiny[1].config
    attention = tiny[1].model.layers[0].self_attn
    assert (config.family, config.num_layers, config.num_heads) == (theirs.model_type, 3, theirs.num_attention_heads)
    assert (config.head_dim, config.norm_eps) == (attention.head_dim, theirs.rms_norm_eps)
    assert config.rope_theta == theirs.rope_parameters["rope_theta"]
    assert config.num_parameters == tiny[1].num_parameters()


def test_old_and_new_style_rope(folder: Path) -> None:
    scaling = {"rope_type": "llama3", "factor": 32, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    expected = RopeScaling(factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position=8192)
    path = folder / "config.json"
    edit(path, rope_parameters=..., rope_theta=500000.0, rope_scaling=None)
    assert (hf.read_config(folder).rope_theta, hf.read_config(folder).rope_scaling) == (500000.0, None)
    edit(path, rope_scaling={**scaling, "original_max_position_embeddings": 8192})
    assert (hf.read_config(folder).rope_theta, hf.read_config(folder).rope_scaling) == (500000.0, expected)
    new_style = {**scaling, "original_max_position_embeddings": 8192, "rope_theta": 700000.0}
    edit(path, rope_scaling=..., rope_theta=..., rope_parameters=new_style)
    assert (hf.read_config(folder).rope_theta, hf.read_config(folder).rope_scaling) == (700000.0, expected)
    edit(path, rope_parameters=...)
    assert hf.read_config(folder).rope_theta == 10_000.0


def test_absent_fields_have_the_defaults_of_transformers(tmp_path: Path) -> None:
    shape = {"vocab_size": 10, "hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 1}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**shape, "model_type": "llama", "num_attention_heads": 4}))
    config = hf.read_config(tmp_path)
    assert (config.head_dim, config.num_kv_heads, config.norm_eps, config.tie_embeddings) == (8, 4, 1e-6, False)
    path.write_text(json.dumps({**shape, "model_type": "qwen3", "num_attention_heads": 4, "head_dim": None}))
    assert hf.read_config(tmp_path).head_dim == 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen3_moe"}, "model_type='qwen3_moe' is not supported; did you mean 'qwen3'"),
        ({"model_type": ...}, "model_type=None is not supported"),
        ({"attention_bias": True}, "attention_bias=True is not supported"),
        ({"mlp_bias": True}, "mlp_bias=True is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu' is not supported (only 'silu')"),
        ({"use_sliding_window": True}, "use_sliding_window=True is not supported"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types has ['sliding_attention']"),
        ({"quantization_config": {"bits": 4}}, "quantization_config={'bits': 4} is not supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 is not supported"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling.rope_type='yarn' is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, "rope_scaling.rope_type='linear' is not supported"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "rope_parameters.rope_type='dynamic' is not supported"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}, "rope_parameters differs by layer type"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling.low_freq_factor is missing"),
        ({"num_hidden_layers": ...}, "num_hidden_layers=None must be a whole number"),
        ({"rms_norm_eps": "1e-5"}, "norm_eps='1e-5' must be float"),
        ({"head_dim": 7}, "head_dim=7 must be even"),
    ],
)
def test_what_we_do_not_compute_is_refused_by_name(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(ConfigError) as caught:
        hf.load_model(folder)
    assert message in str(caught.value)


def test_sliding_window_of_qwen_counts_only_when_used(folder: Path) -> None:
    family = hf.read_config(folder).family
    edit(folder / "config.json", sliding_window=4096, use_sliding_window=False)
    if family == "llama":  # no such switch there: somebody means it
        with pytest.raises(ConfigError, match="sliding_window=4096"):
            hf.read_config(folder)
    else:
        hf.read_config(folder)


# --- weights that do not fit


def respoil(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    change(state)
    safetensors.torch.save_file(state, path)


def test_missing_unexpected_and_misshaped_tensors_are_named(folder: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        del state["model.layers.1.mlp.up_proj.weight"]
        state["model.layers.1.mlp.up_proj.lora"] = torch.ones(3)
        state["model.norm.weight"] = torch.ones(7)

    respoil(folder, change)
    with pytest.raises(ConfigError) as caught:
        hf.load_model(folder)
    text = str(caught.value)
    assert "1 missing (model.layers.1.mlp.up_proj.weight)" in text
    assert "1 unexpected (model.layers.1.mlp.up_proj.lora)" in text
    assert "1 of another shape (model.norm.weight is (7,), config.json says (48,))" in text


def test_a_tied_head_may_be_stored_twice_but_not_differ(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    hf.save_model(tmp_path, small(), tiny_tokenizer)
    name = "model.embed_tokens.weight"
    respoil(tmp_path, lambda state: state.update({"lm_head.weight": state[name].clone()}))
    hf.load_model(tmp_path)
    respoil(tmp_path, lambda state: state.update({"lm_head.weight": state[name] + 1}))
    with pytest.raises(ConfigError, match=r"tie_word_embeddings is true, but lm_head\.weight differs"):
        hf.load_model(tmp_path)


def test_rotary_buffers_of_old_checkpoints_are_ignored(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    hf.save_model(tmp_path, small(), tiny_tokenizer)
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    respoil(tmp_path, lambda state: state.update(buffer))
    hf.load_model(tmp_path)


def test_a_torn_file_a_lost_shard_and_an_escaping_index(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    hf.save_model(tmp_path, small(), tiny_tokenizer, max_shard_bytes=9_000)
    shard = tmp_path / json.loads((tmp_path / hf.INDEX).read_text())["weight_map"]["model.norm.weight"]
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=f"{shard.name}: not a whole safetensors file"):
        hf.load_model(tmp_path)
    shard.unlink()
    with pytest.raises(ConfigError, match=f"{shard.name}: missing, though"):
        hf.load_model(tmp_path)
    edit(tmp_path / hf.INDEX, weight_map={"model.norm.weight": "../elsewhere.safetensors"})
    with pytest.raises(ConfigError, match="outside the folder"):
        hf.load_model(tmp_path)


def test_pickle_is_never_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(safetensors.torch.load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("opened a pickle"))
    with pytest.raises(ConfigError, match=r"Pickled weights .* not opened.*save_pretrained"):
        hf.load_model(folder)


# --- where a model comes from


def test_resolve_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision))
        assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hf.resolve_model(tmp_path) == tmp_path
    assert hf.resolve_model("meta-llama/Llama-3.2-1B@v1.0") == tmp_path
    assert hf.resolve_model("HuggingFaceTB/SmolLM2-135M") == tmp_path
    assert asked == [("meta-llama/Llama-3.2-1B", "v1.0"), ("HuggingFaceTB/SmolLM2-135M", None)]
    file = tmp_path / "model.gguf"
    file.touch()
    for wrong, message in ((file, "is a file"), ("no/such/folder", "no such folder"), ("nothing", "no such folder")):
        with pytest.raises(ConfigError, match=message):
            hf.resolve_model(wrong)


def test_resolve_model_says_what_the_hub_said() -> None:
    """Tests run with HF_HUB_OFFLINE=1, so the hub's client refuses."""
    with pytest.raises(ConfigError, match="no-one/no-model: no such folder, and the hub did not give"):
        hf.resolve_model("no-one/no-model")


# --- random weights


def test_init_weights() -> None:
    model = small(family="qwen2", hidden_size=256, num_layers=8, head_dim=64)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            assert (p == (0 if name.endswith("bias") else 1)).all(), name
        else:
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = 0.64 / 16 / (4 if residual else 1)  # sqrt(256), and sqrt(2 * 8) for what is added to the residual
            assert p.std().item() == pytest.approx(std, rel=0.05), name
            assert abs(p.mean().item()) < 1e-3, name
    loss = torch.nn.functional.cross_entropy(model(TOKENS).flatten(0, 1), TOKENS.roll(-1).flatten())
    assert loss.item() == pytest.approx(math.log(320), abs=0.4)  # near uniform


def test_init_weights_depends_on_the_seed_alone() -> None:
    first, other = small(), small()
    before = torch.get_rng_state()
    other.init_weights(0)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    other.init_weights(1)
    assert not torch.equal(first.model.embed_tokens.weight, other.model.embed_tokens.weight)
