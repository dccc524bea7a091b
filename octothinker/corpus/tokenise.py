"""The last step: documents to the shards that mid-training reads, and how many tokens came from where.

gigatoken gives the ids of the tokenizers library several times as fast where it knows the tokenizer's parts. That is not
taken on trust: of every stage the first hundred documents and then one in a hundred are encoded by both, and a difference
ends the stage. Tokenizers that it cannot read (one token a digit, as ours for `nano`) go the slow way, and the result says so.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from octothinker.corpus.config import Tokenise
from octothinker.corpus.flow import documents, note_kept, score_band, shards
from octothinker.corpus.ledger import LEDGER, Ledger
from octothinker.data.files import Position
from octothinker.data.shards import ENDS, write_shards
from octothinker.model.tokenizer import Tokenizer
from octothinker.typed import version

CHECKED_FIRST = 100
RENEW_CHARACTERS = 1 << 28
"""gigatoken remembers every piece it ever saw: a new one after so much text keeps memory flat."""


class FastTokenizer:
    """An Encoder (data/shards.py) on gigatoken, held to the tokenizers library's ids."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, check_every: int = 100) -> None:
        self.reference, self.check_every = tokenizer, check_every
        self.eos_id, self.vocab_size, self.hash = tokenizer.eos_id, tokenizer.vocab_size, tokenizer.hash
        self.source = (folder / "tokenizer.json").read_bytes()
        self.seen = self.checked = self.since = 0
        self.renew()

    def renew(self) -> None:
        """ValueError when gigatoken does not know a part of this tokenizer."""
        import gigatoken

        try:
            self.fast = gigatoken.Tokenizer.from_json(self.source)
        except RuntimeError as error:
            raise ValueError(str(error).split("\n", 1)[0]) from error
        self.since = 0

    def encode_batch(self, texts: Sequence[str], /) -> list[np.ndarray[Any, Any]]:
        """(length,) uint32 each; RuntimeError where the ids of a text that is compared differ."""
        import awkward

        if self.since > RENEW_CHARACTERS:
            self.renew()
        self.since += sum(map(len, texts))
        rows = self.fast.encode_batch(list(texts))
        flat = awkward.to_numpy(awkward.flatten(rows))
        found = np.split(flat, np.cumsum(awkward.to_numpy(awkward.num(rows)))[:-1])
        numbers = range(self.seen, self.seen + len(texts))
        chosen = [i for i, n in enumerate(numbers) if n < CHECKED_FIRST or n % self.check_every == 0]
        for i, ids in zip(chosen, self.reference.encode_batch([texts[i] for i in chosen]), strict=True):
            if found[i].tolist() != ids:
                raise RuntimeError(
                    f"document {numbers[i]}: gigatoken and tokenizers disagree about its ids ({texts[i][:80]!r}…); "
                    "set tokenise.fast=false"
                )
        self.seen += len(texts)
        self.checked += len(chosen)
        return found


def encoder(folder: Path, config: Tokenise) -> tuple[Tokenizer | FastTokenizer, str]:
    """The fastest that gives the tokenizer's own ids, and its name with the reason if it is the slow one."""
    tokenizer = Tokenizer.load(folder)
    if not config.fast:
        return tokenizer, "tokenizers"
    if importlib.util.find_spec("gigatoken") is None:
        return tokenizer, "tokenizers (gigatoken is not installed)"
    try:
        return FastTokenizer(folder, tokenizer, config.check_every), "gigatoken"
    except ValueError as error:
        return tokenizer, f"tokenizers (gigatoken: {error})"


@version(2)
def tokenise_stage(config: Tokenise, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`, `tokenizer`. Writes a folder that Shards.open reads; a killed writer's rest is written anew."""
    encode, name = encoder(inputs["tokenizer"], config)
    ledger, labels, names = Ledger(), array("I"), dict[tuple[str, ...], int]()
    files = shards(inputs["documents"])
    position = Position(total=sum(file.stat().st_size for file in files))

    def texts() -> Iterator[str]:
        for file in files:
            for document in documents(file, position):
                ledger.enter(document.text)
                if not document.text or document.text.isspace():
                    ledger.drop("blank", document.id, document.text)
                    continue
                note_kept(ledger, document, document.text)
                labels.append(names.setdefault(_label(document.metadata), len(names)))
                yield document.text

    manifest = write_shards(texts(), encode, out, position)
    lengths = np.diff(np.load(out / ENDS).astype(np.int64), prepend=0)
    tokens = np.bincount(np.frombuffer(labels, np.uint32), weights=lengths, minlength=len(names))
    for label, index in names.items():
        for table, value in zip(("source", "year", "score"), label, strict=True):
            if value:
                ledger.count(f"tokens by {table}", value, int(tokens[index]))
    ledger.save(out / LEDGER)
    checked = encode.checked if isinstance(encode, FastTokenizer) else 0
    return {
        **ledger.result(),
        "tokens": manifest["tokens"],
        "sha256": manifest["sha256"],
        "encoder": name,
        "checked": checked,
    }


def _label(metadata: dict[str, Any]) -> tuple[str, ...]:
    score = metadata.get("score")
    band = score_band(score) if isinstance(score, (int, float)) else ""
    return str(metadata.get("source") or ""), str(metadata.get("year") or ""), band
