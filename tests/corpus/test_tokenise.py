"""Shards with the tokenizer's own ids, tokens by source, and the same tokens for other trainers' readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octothinker.config import Source
from octothinker.corpus.config import Tokenise
from octothinker.corpus.export import export
from octothinker.corpus.tokenise import FastTokenizer, encoder, tokenise_stage
from octothinker.data.shards import Shards
from octothinker.data.stages import ShardsRun, content_of, shards_stage
from octothinker.model.tokenizer import Tokenizer, train_tokenizer
from octothinker.typed import ConfigError
from tests.corpus.shards_here import write_documents

TEXTS = ["One and two", "Let $x^2 = 16$, then $x$ is 4 or -4.", " ", "naïve ∑ text\n\n  with   blanks", "five 12345"]
ROWS: list[dict[str, Any]] = [
    {"id": str(i), "text": text, "metadata": {"source": "ab"[i % 2], "year": "2020", "score": 0.1 * i}}
    for i, text in enumerate(TEXTS)
]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    train_tokenizer(TEXTS, 300).save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def byte_level(folder: Path) -> Path:
    """A tokenizer of the kind that gigatoken reads: Llama 3's way to cut a text."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    made = tokenizers.Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=320, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False),
    )
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    return folder


def run(source: Path, tokenizer: Path, out: Path, **config: Any) -> dict[str, Any]:
    out.mkdir()
    settings = Tokenise(tokenizer="unused", **config)
    return tokenise_stage(settings, {"documents": source, "tokenizer": tokenizer}, out)


def test_shards_hold_the_tokenizers_ids_and_the_counts_add_up(tmp_path: Path, tokenizer: Path) -> None:
    result = run(write_documents(tmp_path / "in", ROWS), tokenizer, tmp_path / "out")
    plain, shards = Tokenizer.load(tokenizer), Shards.open(tmp_path / "out")
    kept = [text for text in TEXTS if text.strip()]
    assert [shards.document(i).tolist() for i in range(4)] == [[*plain.encode(t), plain.eos_id] for t in kept]
    assert result["tokens"] == shards.tokens and result["dropped"] == {"blank": 1}
    counts = json.loads((tmp_path / "out/ledger.json").read_text())["counts"]
    lengths = {i: len(plain.encode(text)) + 1 for i, text in enumerate(TEXTS) if text.strip()}
    assert counts["tokens by source"] == {"a": lengths[0] + lengths[4], "b": lengths[1] + lengths[3]}
    assert counts["tokens by year"] == {"2020": shards.tokens}
    assert sum(counts["tokens by score"].values()) == shards.tokens
    assert counts["tokens by score"]["0.0-0.1"] == lengths[0]


def test_gigatoken_gives_the_same_shards(tmp_path: Path) -> None:
    pytest.importorskip("gigatoken")
    folder, source = byte_level(tmp_path / "t"), write_documents(tmp_path / "in", ROWS)
    fast = run(source, folder, tmp_path / "fast")
    slow = run(source, folder, tmp_path / "slow", fast=False)
    assert fast["encoder"] == "gigatoken" and fast["checked"] == 4 and slow["encoder"] == "tokenizers"
    assert fast["sha256"] == slow["sha256"]


def test_a_difference_ends_the_stage(tmp_path: Path) -> None:
    pytest.importorskip("gigatoken")
    folder = byte_level(tmp_path / "t")
    fast = FastTokenizer(folder, Tokenizer.load(folder), check_every=2)
    fast.encode_batch(TEXTS)
    wrong = Tokenizer.load(folder)
    wrong.encode_batch = lambda texts: [[1] for _ in texts]  # type: ignore[method-assign]
    fast.reference = wrong
    with pytest.raises(RuntimeError, match=r"document 5: gigatoken and tokenizers disagree .*tokenise.fast=false"):
        fast.encode_batch(TEXTS)
    fast.seen = 1000
    fast.reference.encode_batch = lambda texts: [fast.fast.encode_batch([t]).to_list()[0] for t in texts]  # type: ignore
    before = fast.checked
    fast.encode_batch(TEXTS)
    assert fast.checked - before == 3  # of 1000 … 1004 every second one


def test_what_gigatoken_cannot_read_goes_the_slow_way_and_says_so(tokenizer: Path) -> None:
    pytest.importorskip("gigatoken")
    made, name = encoder(tokenizer, Tokenise(tokenizer="unused"))
    assert isinstance(made, Tokenizer) and name.startswith("tokenizers (gigatoken: Unsupported pre_tokenizer")


def test_shards_are_a_source_of_an_experiment(tmp_path: Path, tokenizer: Path) -> None:
    run(write_documents(tmp_path / "in", ROWS), tokenizer, tmp_path / "made")
    source = Source(path=str(tmp_path / "made"))
    content = content_of("sources.web", source)
    assert content == {"shards": Shards.open(tmp_path / "made").sha256}
    (tmp_path / "out").mkdir()
    result = shards_stage(ShardsRun(source=source, content=content), {"tokenizer": tokenizer}, tmp_path / "out")
    assert result["documents"] == 4
    Shards.open(tmp_path / "out").verify()
    (tmp_path / "other").mkdir()
    other = byte_level(tmp_path / "t2")
    with pytest.raises(ConfigError, match="made with another tokenizer"):
        shards_stage(ShardsRun(source=source, content=content), {"tokenizer": other}, tmp_path / "other")


# ---- other trainers' readers -----------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path, tokenizer: Path) -> Path:
    run(write_documents(tmp_path / "in", ROWS), tokenizer, tmp_path / "made")
    return tmp_path / "made"


def test_datatrove_reads_its_form(made: Path, tmp_path: Path) -> None:
    from datatrove.utils.dataset import DatatroveFileDataset

    export(made, tmp_path / "x/web", "datatrove")
    shards = Shards.open(made)
    stream = np.concatenate([shards.document(i) for i in range(4)]).tolist()
    read = DatatroveFileDataset(str(tmp_path / "x/web.ds"), seq_len=6, token_size=2, return_positions=True)
    for i in range(len(read)):
        assert read[i]["input_ids"].tolist() == stream[7 * i : 7 * i + 7]
    first = int(shards.ends[0])
    assert read[0]["positions"].tolist()[:7] == [*range(first), *range(7)][:7]


def test_megatron_reads_its_form(made: Path, tmp_path: Path) -> None:
    module = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    export(made, tmp_path / "x/web", "megatron")
    read = module.IndexedDataset(str(tmp_path / "x/web"))
    shards = Shards.open(made)
    assert len(read) == 4
    assert [read[i].tolist() for i in range(4)] == [shards.document(i).tolist() for i in range(4)]
    assert read.document_indices.tolist() == [0, 1, 2, 3, 4]


def test_a_damaged_shard_is_not_exported(made: Path, tmp_path: Path) -> None:
    file = made / "tokens-00000.bin"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        export(made, tmp_path / "x/web", "megatron")
