"""Hugging Face model folders in and out, as `transformers` and vLLM read and write them. No pickle is ever opened.

    folder/  config.json                                     read_config  config_to_hf
             model.safetensors                               load_model   save_model
             | model-0000i-of-0000n.safetensors + model.safetensors.index.json
             generation_config.json, tokenizer.json …        Tokenizer.load / save

Parameter names are the same on both sides (llama.py), so weights go by name; what is missing, unexpected or of another
shape is an error that lists it. A setting in config.json that llama.py does not compute is refused, not ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from octothinker.config import ModelConfig, RopeScaling
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import read_json, write_json
from octothinker.typed import ConfigError, check, from_json, suggest

INDEX = "model.safetensors.index.json"
ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
SHAPE_FIELDS = {  # ours: Hugging Face's; no defaults, as a wrong guess would load nothing
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
}


def resolve_model(path_or_repo: str | Path) -> Path:
    """A local model folder, or the hub's `owner/name[@revision]` downloaded into the local Hugging Face cache."""
    folder = Path(path_or_repo).expanduser()
    if folder.exists():
        check(folder.is_dir(), f"{folder}: is a file; a model is a folder with config.json and *.safetensors")
        return folder
    text = str(path_or_repo)
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", text)
    if match is None:
        raise ConfigError(f"{text}: no such folder (nor `owner/name[@revision]` of a model on the hub)")
    from huggingface_hub import snapshot_download  # slow to import, and local folders do without

    try:
        got = snapshot_download(match[1], revision=match[2], allow_patterns=["*.json", "*.safetensors", "*.jinja"])
    except Exception as error:  # its errors share no base class; none is swallowed
        raise ConfigError(f"{text}: no such folder, and the hub did not give a model of that name: {error}") from error
    return Path(got)


def read_config(folder: Path) -> ModelConfig:
    """config.json of a llama, qwen2 or qwen3 model; absent fields have transformers' defaults."""
    path = Path(folder) / "config.json"
    check(path.is_file(), f"{folder}: no config.json there; a model is a folder with config.json and *.safetensors")
    raw = read_json(path)
    family = raw.get("model_type")
    check(
        family in ARCHITECTURES,
        f"{path}: model_type={family!r} is not supported{suggest(str(family), ARCHITECTURES)}",
    )
    _refuse_unsupported(raw, family, path)
    for name in SHAPE_FIELDS.values():
        check(isinstance(raw.get(name), int), f"{path}: {name}={raw.get(name)!r} must be a whole number")
    heads, hidden = raw["num_attention_heads"], raw["hidden_size"]
    head_dim = raw.get("head_dim") or (128 if family == "qwen3" else hidden // heads)
    max_position = raw.get("max_position_embeddings") or (2048 if family == "llama" else 32768)
    theta, scaling = _rope(raw, max_position, path)
    values = {
        **{ours: raw[theirs] for ours, theirs in SHAPE_FIELDS.items()},
        "family": family,
        "num_kv_heads": raw.get("num_key_value_heads") or heads,
        "head_dim": head_dim,
        "rope_theta": theta,
        "rope_scaling": scaling,
        "norm_eps": raw.get("rms_norm_eps", 1e-6),
        "tie_embeddings": raw.get("tie_word_embeddings", False),
        "max_position": max_position,
    }
    return from_json(ModelConfig, values, str(path))


def _refuse_unsupported(raw: dict[str, Any], family: str, path: Path) -> None:
    """Settings that change what a model computes and that llama.py does not know."""
    only: dict[str, tuple[Any, ...]] = {
        "hidden_act": (None, "silu"),
        "attention_bias": (None, False),
        "mlp_bias": (None, False),
        "use_sliding_window": (None, False),
        "partial_rotary_factor": (None, 1, 1.0),
        "quantization_config": (None,),
        "sliding_window": (None,)
        if family == "llama"
        else (raw.get("sliding_window"),),  # Qwen: see use_sliding_window
    }
    for name, allowed in only.items():
        value = raw.get(name)
        check(value in allowed, f"{path}: {name}={value!r} is not supported (only {allowed[-1]!r})")
    other = {kind for kind in raw.get("layer_types") or [] if kind != "full_attention"}
    check(not other, f"{path}: layer_types has {sorted(other)}; only 'full_attention' is supported")


def _rope(raw: dict[str, Any], max_position: int, path: Path) -> tuple[float, dict[str, Any] | None]:
    """RoPE base and scaling as transformers 4 wrote them (`rope_theta`, `rope_scaling`) or 5 (`rope_parameters`)."""
    name = "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    rope = raw.get(name) or {}
    check(
        not any(isinstance(value, dict) for value in rope.values()),
        f"{path}: {name} differs by layer type ({', '.join(rope)}); one for all layers is supported",
    )
    partial = rope.get("partial_rotary_factor")
    check(partial in (None, 1.0), f"{path}: {name}.partial_rotary_factor={partial!r} is not supported (only 1.0)")
    theta = rope.get("rope_theta") or raw.get("rope_theta") or 10_000.0
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    check(kind == "llama3", f"{path}: {name}.rope_type={kind!r} is not supported (only 'default' and 'llama3')")
    scaling = {key: rope.get(key) for key in ("factor", "low_freq_factor", "high_freq_factor")}
    for key, value in scaling.items():
        check(value is not None, f"{path}: {name}.{key} is missing (rope_type llama3 needs it)")
    original = raw.get("original_max_position_embeddings") or rope.get("original_max_position_embeddings")
    return theta, {**scaling, "original_max_position": original or max_position}


def config_to_hf(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """config.json's contents. RoPE in the old style, which transformers 4 and 5 and vLLM all read."""
    check(
        tokenizer.vocab_size <= config.vocab_size,
        f"the tokenizer has {tokenizer.vocab_size} tokens, the model embeds {config.vocab_size}",
    )
    scaling: RopeScaling | None = config.rope_scaling
    return {
        "architectures": [ARCHITECTURES[config.family]],
        "model_type": config.family,
        **{theirs: getattr(config, ours) for ours, theirs in SHAPE_FIELDS.items()},
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": scaling
        and {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position,
        },
        "max_position_embeddings": config.max_position,
        "tie_word_embeddings": config.tie_embeddings,
        "bos_token_id": tokenizer.bos_id,  # null is said: transformers' defaults would be 1 and 2
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> Llama:
    """The model of a folder, on the CPU, its weights cast to `dtype`. Every parameter must be there, in its shape."""
    folder = Path(folder)
    config = read_config(folder)
    with torch.device("meta"):  # no memory and no time spent on weights that are replaced
        model = Llama(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state: dict[str, Tensor] = {}
    wrong: dict[str, list[str]] = {"missing": [], "unexpected": [], "of another shape": []}
    head: Tensor | None = None
    for name, tensor in _tensors(folder):
        if name == "lm_head.weight" and config.tie_embeddings:
            head = tensor
        elif name.endswith("rotary_emb.inv_freq"):  # a buffer that old checkpoints carry
            continue
        elif name not in wanted:
            wrong["unexpected"].append(name)
        else:
            shape, state[name] = tuple(tensor.shape), tensor.to(dtype)
            if shape != wanted[name]:
                wrong["of another shape"].append(f"{name} is {shape}, config.json says {wanted[name]}")
    wrong["missing"] = sorted(wanted.keys() - state.keys())
    texts = [f"{len(n)} {what} ({'; '.join(n[:4])}{'; …' if len(n) > 4 else ''})" for what, n in wrong.items() if n]
    check(not texts, f"{folder}: the weights do not fit config.json: " + ", ".join(texts))
    if head is not None:  # some writers store a tied head a second time; another one would be dropped silently
        same = torch.equal(head.to(dtype), state["model.embed_tokens.weight"])
        check(same, f"{folder}: tie_word_embeddings is true, but lm_head.weight differs from model.embed_tokens.weight")
    model.load_state_dict(state, assign=True)
    return model


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of model.safetensors, or of the shards that the index lists."""
    index = folder / INDEX
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        for name in names:
            check(Path(name).name == name, f"{index}: shard {name!r} is outside the folder")
    else:
        names = ["model.safetensors"]
        check(
            (folder / names[0]).is_file(),
            f"{folder}: no model.safetensors there. Pickled weights (pytorch_model.bin) are not opened, they can run "
            f"code; convert with transformers: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR)",
        )
    for name in names:
        check((folder / name).is_file(), f"{folder / name}: missing, though {INDEX} lists it")
        try:
            with safe_open(folder / name, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 (no mapping, it cannot be iterated)
                    yield key, file.get_tensor(key)
        except SafetensorError as error:
            raise ConfigError(f"{folder / name}: not a whole safetensors file: {error}") from error


def save_model(folder: Path, model: Llama, tokenizer: Tokenizer, max_shard_bytes: float = 5e9) -> None:
    """Write a model folder in the weights' own dtype. config.json comes last: without it, a folder is no model yet."""
    folder = Path(folder)
    config = config_to_hf(model.config, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    shards = _shards(state, max_shard_bytes)
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    names = names if len(shards) > 1 else ["model.safetensors"]
    for old in [*folder.glob("model*.safetensors"), folder / INDEX]:  # else an old index would be read with new shards
        if old.name not in names:
            old.unlink(missing_ok=True)
    for name, shard in zip(names, shards, strict=True):
        _write_shard(folder / name, shard)
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in state.values())
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})
    tokenizer.save(folder)
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": list(tokenizer.eos_ids), "pad_token_id": tokenizer.pad_id}
    write_json(folder / "generation_config.json", {key: value for key, value in ids.items() if value is not None})
    dtype = str(next(iter(state.values())).dtype).removeprefix("torch.")
    write_json(folder / "config.json", {**config, "torch_dtype": dtype})


def _shards(state: dict[str, Tensor], limit: float) -> list[dict[str, Tensor]]:
    """Tensors in order, a new shard where the next one would exceed `limit` bytes (one larger than it stands alone)."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in state.items():
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def _write_shard(path: Path, shard: dict[str, Tensor]) -> None:
    tmp = path.with_name(path.name + ".tmp")
    tmp.touch()
    mode = tmp.stat().st_mode  # as the umask has it; safetensors leaves 0600, which no colleague can read
    save_file(shard, tmp, metadata={"format": "pt"})  # transformers asks for the metadata
    tmp.chmod(mode)
    with open(tmp, "rb") as file:
        os.fsync(file.fileno())
    os.replace(tmp, path)
