"""Text <-> ids, against transformers' reading of the same folder; special ids from every file that may name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from octothinker.model.tokenizer import Tokenizer, train_tokenizer
from octothinker.typed import ConfigError

TEXTS = ["The answer is 42, and 42 it is.\n", "Über 3 ∑ of naïve   blanks\t", "def f(x):\n    return x ** 2\n"] * 3
TRAINED = train_tokenizer(TEXTS, 300)


def folder_with(folder: Path, tokenizer_config: dict[str, Any] | None = None, **files: Any) -> Path:
    """The trained tokenizer.json with other files beside it."""
    TRAINED.save(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config or {}))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert TRAINED.decode(TRAINED.encode(text)) == text.replace("<|endoftext|>", "")


def test_each_digit_is_a_token() -> None:
    ids = TRAINED.encode("42 142")
    assert [TRAINED.decode([i]) for i in ids] == ["4", "2", " ", "1", "4", "2"]  # though "42" came often


def test_training_is_reproducible_and_learns() -> None:
    again = train_tokenizer(iter(TEXTS), 300)
    assert again.hash == TRAINED.hash
    assert (again.vocab_size, again.eos_id, again.pad_id, again.bos_id, again.eos_ids) == (300, 0, 0, None, (0,))
    assert len(TRAINED.encode("The answer is")) < 6
    assert train_tokenizer(TEXTS, 290).hash != TRAINED.hash
    assert train_tokenizer(TEXTS, 5000).vocab_size < 400  # nothing left to merge
    with pytest.raises(ConfigError, match="vocab_size=256 must be over 256"):
        train_tokenizer(TEXTS, 256)


def test_a_batch_is_its_texts() -> None:
    assert TRAINED.encode_batch(TEXTS) == [TRAINED.encode(text) for text in TEXTS]


def test_save_load_and_transformers_agree(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    TRAINED.save(tmp_path)
    loaded, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.hash, loaded.vocab_size) == (TRAINED.hash, len(theirs))
    for text in [*TEXTS, "<|endoftext|> in the text", "  two blanks 7 and ² and 日本", ""]:
        assert loaded.encode(text) == theirs(text).input_ids
        assert loaded.decode(loaded.encode(text)) == theirs.decode(loaded.encode(text), skip_special_tokens=True)
    assert theirs.eos_token_id == loaded.eos_id


def test_special_tokens_are_skipped_in_decoding() -> None:
    ids = TRAINED.encode("42")
    assert TRAINED.decode([*ids, TRAINED.eos_id]) == "42"
    assert TRAINED.encode("42<|endoftext|>") == [*ids, TRAINED.eos_id]


def test_no_tokenizer_json_and_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no tokenizer\.json there"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot read it"):
        Tokenizer.load(tmp_path)


def test_eos_and_pad_by_authority(tmp_path: Path) -> None:
    """The tokenizer's own word first, then generation_config.json (a list, as Llama 3.1 has it), then config.json."""
    ids, config = {"eos_token_id": [5, 0, 9]}, {"eos_token_id": 9, "pad_token_id": 11}
    token = {"content": "<|endoftext|>", "lstrip": False}  # the form of older folders
    full = folder_with(tmp_path / "a", {"eos_token": token}, generation_config=ids, config=config)
    loaded = Tokenizer.load(full)
    assert (loaded.eos_id, loaded.eos_ids, loaded.pad_id) == (0, (0, 5, 9), 11)
    loaded = Tokenizer.load(folder_with(tmp_path / "b", None, generation_config=ids, config=config))
    assert (loaded.eos_id, loaded.eos_ids) == (5, (5, 0, 9))
    loaded = Tokenizer.load(folder_with(tmp_path / "c", None, special_tokens_map={"eos_token": "<|endoftext|>"}))
    assert (loaded.eos_id, loaded.pad_id) == (0, 0)
    with pytest.raises(ConfigError, match="no end-of-text token"):
        Tokenizer.load(folder_with(tmp_path / "d"))
    with pytest.raises(ConfigError, match="eos_token '</s>' is not in"):
        Tokenizer.load(folder_with(tmp_path / "e", {"eos_token": "</s>"}))


def test_bos_only_where_the_model_expects_one(tmp_path: Path) -> None:
    both = {"eos_token": "<|endoftext|>", "bos_token": "A"}
    named = folder_with(tmp_path / "named", both)
    assert (Tokenizer.load(named).bos_id, Tokenizer.load(named).add_bos) == (None, False)  # as SmolLM2 and Qwen2.5
    bos = TRAINED.encode("A")[0]
    said = Tokenizer.load(folder_with(tmp_path / "said", {**both, "add_bos_token": True}))
    assert (said.bos_id, said.add_bos) == (bos, True)

    inner = tokenizers.Tokenizer.from_file(str(named / "tokenizer.json"))  # as Llama 3
    inner.post_processor = tokenizers.processors.TemplateProcessing(single="A $A", special_tokens=[("A", bos)])
    inner.enable_truncation(4)
    inner.save(str(named / "tokenizer.json"))
    loaded = Tokenizer.load(named)
    assert (loaded.bos_id, loaded.add_bos) == (bos, True)
    assert loaded.encode("The answer is 42") == TRAINED.encode("The answer is 42")  # neither a BOS nor cut at 4


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] }}\n{{ message['content'] }}{{ eos_token }}\n"
    "{% if loop.first %}{{ message | tojson }}{% else %}{% break %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("place", ["config", "named", "jinja"])
def test_chat_is_what_transformers_renders(tmp_path: Path, place: str) -> None:
    from transformers import AutoTokenizer

    several = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": CHATML}]
    template = {"config": {"chat_template": CHATML}, "named": {"chat_template": several}, "jinja": {}}[place]
    folder_with(tmp_path, {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", **template})
    if place == "jinja":
        (tmp_path / "chat_template.jinja").write_text(CHATML)
    talk = [{"role": "user", "content": "Is 1 < 2 & 3?"}, {"role": "assistant", "content": "{{ 6 * 7 }}"}]
    ours, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert "Is 1 < 2 & 3?<|endoftext|>\n" in ours.chat(talk)
    assert "{{ 6 * 7 }}" in ours.chat(talk)  # a message is text, never a template
    for generate in (True, False):
        expected = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=generate)
        assert ours.chat(talk, generate) == expected
    ours.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").chat(talk) == ours.chat(talk)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% if %}", "the chat template failed"),
        ("{{ 1 + 'a' }}", "the chat template failed"),
    ],
)
def test_chat_templates_that_fail(tmp_path: Path, template: str | None, message: str) -> None:
    folder_with(tmp_path, {"eos_token": "<|endoftext|>", "chat_template": template})
    with pytest.raises(ConfigError, match=message):
        Tokenizer.load(tmp_path).chat([{"role": "user", "content": "hi"}])
