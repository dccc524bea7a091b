"""Tokenised documents on disk: what is written, and that nothing unfinished or damaged is taken for whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octothinker.data.files import Position
from octothinker.data.shards import Shards, write_shards
from octothinker.records import Progress, read_json
from octothinker.typed import ConfigError


class Bytes:
    """A token a byte, moved up by `shift`; eos is 0."""

    eos_id, hash = 0, "bytes"

    def __init__(self, vocab_size: int = 300, shift: int = 1) -> None:
        self.vocab_size, self.shift = vocab_size, shift

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [[byte + self.shift for byte in text.encode()] for text in texts]


def documents(shards: Shards) -> list[list[int]]:
    return [shards.document(i).tolist() for i in range(shards.documents)]


def test_what_lies_on_disk(tmp_path: Path) -> None:
    manifest = write_shards(["ab", "", " \n", "c"], Bytes(), tmp_path)
    assert (tmp_path / "tokens-00000.bin").read_bytes() == bytes(
        [98, 0, 99, 0, 0, 0, 100, 0, 0, 0]
    )  # uint16, little end first
    assert np.load(tmp_path / "ends.npy").tolist() == [3, 5]
    assert np.load(tmp_path / "ends.npy").dtype == np.uint64
    expected = {"documents": 2, "tokens": 5, "blank": 2, "dtype": "uint16", "tokenizer": "bytes", "vocab_size": 300}
    assert expected.items() <= manifest.items()
    assert read_json(tmp_path / "shards.json") == manifest
    shards = Shards.open(tmp_path)
    assert documents(shards) == [[98, 99, 0], [100, 0]]
    shards.verify()


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_535, "uint16"), (65_536, "uint32"), (151_936, "uint32")])
def test_token_ids_above_16_bits(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    """A Qwen or Llama 3 vocabulary does not fit 16 bits: ids would wrap around without an error."""
    shift = vocab_size - 256
    assert write_shards(["ÿa"], Bytes(vocab_size, shift), tmp_path)["dtype"] == dtype
    shards = Shards.open(tmp_path)
    assert shards.document(0).dtype == np.dtype(dtype)
    assert documents(shards) == [[0xC3 + shift, 0xBF + shift, 0x61 + shift, 0]]


def test_ids_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token ids from 0 to 399, but the vocabulary has 300"):
        write_shards(["a"], Bytes(shift=302), tmp_path)
    with pytest.raises(ConfigError, match="no finished shards"):
        Shards.open(tmp_path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(alphabet="ab \n", max_size=12), max_size=20), file_bytes=st.integers(1, 80))
def test_any_split_into_files_gives_the_same_documents(tmp_path: Path, texts: list[str], file_bytes: int) -> None:
    kept = [text for text in texts if text.strip()]
    if not kept:
        with pytest.raises(ConfigError, match=f"no document has any text \\({len(texts)} are blank\\)"):
            write_shards(texts, Bytes(), tmp_path, file_bytes=file_bytes)
        return
    manifest = write_shards(iter(texts), Bytes(), tmp_path, file_bytes=file_bytes)
    sizes = [file["bytes"] for file in manifest["files"] if file["name"] != "ends.npy"]
    assert all(size >= file_bytes for size in sizes[:-1])
    assert len(list(tmp_path.glob("tokens-*.bin"))) == len(sizes)  # none is left of the writing before
    shards = Shards.open(tmp_path)
    assert documents(shards) == [[byte + 1 for byte in text.encode()] + [0] for text in kept]
    assert (manifest["documents"], manifest["blank"]) == (len(kept), len(texts) - len(kept))


def test_files_are_split(tmp_path: Path) -> None:
    write_shards(["a" * 50] * 10, Bytes(), tmp_path, file_bytes=200)
    assert len(list(tmp_path.glob("tokens-*.bin"))) == 3  # batches of 200 characters = 408 bytes


def test_progress_estimates_the_total_from_the_readers_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Recorded(Progress):
        def update(self, done: int, **info: float | str) -> None:
            seen.append((done, self.total))
            super().update(done, **info)

    monkeypatch.setattr("octothinker.data.shards.Progress", Recorded)
    position = Position(total=80)

    def reading() -> Iterator[str]:
        for done in (10, 20, 60, 80):  # bytes read after each document
            position.done = done
            yield "a" * 10

    write_shards(reading(), Bytes(), tmp_path, position, file_bytes=10)
    assert seen[1:] == [(1, 8), (2, 8), (3, 4), (4, 4), (4, 4)]
    end = read_json(tmp_path / "progress.json")
    assert (end["done"], end["total"], end["unit"], end["info"]) == (4, 4, "documents", {"tokens": 44})


WRITER = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from test_shards import Bytes
from octothinker.data.shards import write_shards

def texts():
    for i in range(1000):
        yield f"document {{i}} " * 10
        if i == {stop}:
            print("writing", flush=True)
            time.sleep(60)

write_shards(texts(), Bytes(), Path({out!r}), file_bytes=2000)
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_killed_writer_leaves_nothing_that_looks_done(tmp_path: Path, before: bool) -> None:
    """Also when finished shards lay in the folder before: old counts over new tokens would be read as whole."""
    if before:
        write_shards(["old"], Bytes(), tmp_path)
    script = WRITER.format(path=[str(Path(__file__).parent), os.getcwd()], out=str(tmp_path), stop=500)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(tmp_path.glob("tokens-*.bin"))) > 10  # it was in the middle of it
    with pytest.raises(ConfigError, match="no finished shards there"):
        Shards.open(tmp_path)
    texts = [f"document {i} " * 10 for i in range(1000)]
    again = write_shards(texts, Bytes(), tmp_path, file_bytes=2000)
    assert again == write_shards(texts, Bytes(), tmp_path / "clean", file_bytes=2000)
    Shards.open(tmp_path).verify()


def test_damage_is_found(tmp_path: Path) -> None:
    write_shards(["a" * 100], Bytes(), tmp_path)
    file = tmp_path / "tokens-00000.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-2])
    with pytest.raises(ConfigError, match=r"tokens-00000\.bin: 200, not 202 bytes"):
        Shards.open(tmp_path)
    file.unlink()
    with pytest.raises(ConfigError, match=r"tokens-00000\.bin: missing, not 202 bytes"):
        Shards.open(tmp_path)
    file.write_bytes(b"x" + whole[1:])  # the size is right: only reading it all can tell
    with pytest.raises(ConfigError, match=r"tokens-00000\.bin: damaged"):
        Shards.open(tmp_path).verify()
    file.write_bytes(whole)
    Shards.open(tmp_path).verify()
    manifest = json.loads((tmp_path / "shards.json").read_text())
    (tmp_path / "shards.json").write_text(json.dumps(manifest | {"tokens": 7}))
    with pytest.raises(ConfigError, match="disagree about the number of tokens"):
        Shards.open(tmp_path)
