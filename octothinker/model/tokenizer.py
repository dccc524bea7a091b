"""Text <-> token ids, from a Hugging Face folder's `tokenizer.json` (library `tokenizers` only); training a new one.

    tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja    saved again as they were
    generation_config.json, config.json                                                    read for their ids only

Which token ends a text differs between those files (a chat model may stop on several): `eos_id` is the one the
tokenizer names, `eos_ids` are all that the model stops on. `encode` never adds a BOS; `add_bos` says whether the model
expects one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from octothinker.records import read_json, write_text
from octothinker.typed import ConfigError, check

SAVED_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
ID_FILES = ("generation_config.json", "config.json")
END_OF_TEXT = "<|endoftext|>"


class Tokenizer:
    def __init__(self, files: dict[str, str], ids: Sequence[dict[str, Any]] = (), where: str = "tokenizer") -> None:
        """`files`: text of SAVED_FILES by name; `ids`: ID_FILES' contents, most telling first; `where`: for errors."""
        self._files, self._where = files, where
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(files["tokenizer.json"])
        except Exception as error:  # the library raises plain Exception
            raise ConfigError(f"{where}/tokenizer.json: the tokenizers library cannot read it: {error}") from error
        self._tokenizer.no_truncation()  # a tokenizer.json may carry either, and would cut or fill documents silently
        self._tokenizer.no_padding()
        self._named = {**self._json("special_tokens_map.json"), **self._json("tokenizer_config.json")}
        self.vocab_size: int = max(self._tokenizer.get_vocab().values()) + 1
        self.hash: str = hashlib.sha256(files["tokenizer.json"].encode()).hexdigest()

        eos, pad, bos = (self._ids(kind, ids) for kind in ("eos", "pad", "bos"))
        check(bool(eos), f"{where}: no end-of-text token; name one as `eos_token` in tokenizer_config.json")
        self.eos_ids: tuple[int, ...] = tuple(eos)
        self.eos_id: int = eos[0]
        self.pad_id: int = pad[0] if pad else self.eos_id
        self.add_bos: bool = bool(bos) and self._adds(bos[0])
        self.bos_id: int | None = bos[0] if self.add_bos else None

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        folder = Path(folder)
        check(
            (folder / "tokenizer.json").is_file(),
            f"{folder}: no tokenizer.json there; for a model that ships another format, make one with "
            f"transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
        )
        files = {n: (folder / n).read_text(encoding="utf-8") for n in SAVED_FILES if (folder / n).is_file()}
        ids = [read_json(folder / name) for name in ID_FILES if (folder / name).is_file()]
        return cls(files, ids, str(folder))

    def save(self, folder: Path) -> None:
        """Write the files as they were read. (Further `eos_ids` live in generation_config.json: hf.save_model.)"""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self._files.items():
            write_text(folder / name, text)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`. Nothing is added; special tokens spelled out in it become their ids, as in transformers."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; bytes that are no UTF-8 come out as U+FFFD."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def decode_each(self, ids: Iterable[int]) -> list[str]:
        """Text of each id by itself."""
        return self._tokenizer.decode_batch([[i] for i in ids], skip_special_tokens=True)

    def chat(self, messages: Sequence[dict[str, str]], generate: bool = True) -> str:
        """The conversation in the model's own chat format; `generate`: open the assistant's next turn."""
        template = self._files.get("chat_template.jinja", self._named.get("chat_template"))
        if isinstance(template, list):  # several, by name
            template = {t["name"]: t["template"] for t in template}.get("default")
        check(template is not None, f"{self._where}: the model has no chat template (is it a base model?)")
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        # Only what templates need. Without `strftime_now` Llama 3.x writes a fixed date: the same prompt every day.
        environment.globals = {k: environment.globals[k] for k in ("range", "namespace")}
        environment.globals["raise_exception"] = _raise
        environment.filters["tojson"] = _to_json  # Jinja's own would escape HTML
        specials = {k: _text(v) for k, v in self._named.items() if k.endswith("_token") and isinstance(v, (str, dict))}
        try:
            return environment.from_string(str(template)).render(
                messages=list(messages), add_generation_prompt=generate, **specials
            )
        except (jinja2.TemplateError, TypeError) as error:
            raise ConfigError(f"{self._where}: the chat template failed: {error}") from error

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads(self._files.get(name, "{}"))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{self._where}/{name}: not valid JSON: {error}") from error

    def _ids(self, kind: str, configs: Sequence[dict[str, Any]]) -> list[int]:
        """All ids called `kind` (eos, pad, bos), in order of authority and without doubles."""
        found: list[int] = []
        token = _text(self._named.get(f"{kind}_token"))
        if token is not None:
            index = self._tokenizer.token_to_id(token)
            if index is None:
                raise ConfigError(f"{self._where}: {kind}_token {token!r} is not in tokenizer.json's vocabulary")
            found.append(index)
        for config in configs:
            value = config.get(f"{kind}_token_id")
            found += value if isinstance(value, list) else [] if value is None else [value]
        return list(dict.fromkeys(found))

    def _adds(self, bos: int) -> bool:
        """Whether texts start with a BOS: said in tokenizer_config.json, or done by the post-processor (Llama 3)."""
        if self._named.get("add_bos_token") is not None:
            return bool(self._named["add_bos_token"])
        return self._tokenizer.encode("a").ids[:1] == [bos]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE over `texts`, one token a digit, with `<|endoftext|>` (id 0) as end of text and padding.

    The same texts give the same tokenizer. Fewer tokens than `vocab_size` come out when nothing is left to merge.
    For models of family llama and qwen3: in a qwen2 folder, transformers 5 replaces any tokenizer's split of texts into
    pieces by Qwen2's own, whatever the files say (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS in its tokenization_auto).
    """
    check(vocab_size > 256, f"tokenizer.vocab_size={vocab_size} must be over 256: one token a byte, and end of text")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
    }
    texts_by_name = {
        "tokenizer.json": tokenizer.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(config, indent=1),
    }
    return Tokenizer({name: text + "\n" for name, text in texts_by_name.items()})


def _text(token: Any) -> str | None:
    """A token named as a string or, in older folders, as {"content": …}."""
    return token["content"] if isinstance(token, dict) else token


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})
