"""Files, templates, conversations, generators and fingerprints; every error names where it is."""

from __future__ import annotations

import gzip
import json
import os
import platform
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from octothinker.config import Source
from octothinker.data.documents import Row, call_generator, fingerprint, renderer, texts
from octothinker.data.files import Position, find
from octothinker.typed import ConfigError

DOCUMENTS = [
    {"text": "plain", "n": 1},
    {"text": 'ümläut, "quotes", \\frac{1}{2} and\nline breaks \u2028\r\n', "n": 2},
    {"text": "", "n": 3},
]


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=row["n"] % 2 == 0) + "\n" for row in rows).encode()


def parquet(codec: str):
    return lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path, compression=codec, row_group_size=2)


def pieces(compress):  # two frames in one file, as pzstd and `cat a.gz b.gz` make them
    return lambda path, rows: path.write_bytes(compress(jsonl(rows[:1])) + compress(jsonl(rows[1:])))


WRITERS = {
    "plain.jsonl": lambda path, rows: path.write_bytes(jsonl(rows)),
    "no_last_newline.jsonl": lambda path, rows: path.write_bytes(jsonl(rows)[:-1]),
    "blank_lines.jsonl": lambda path, rows: path.write_bytes(b"\n" + jsonl(rows).replace(b"\n{", b"\n \n{")),
    "one.jsonl.gz": lambda path, rows: path.write_bytes(gzip.compress(jsonl(rows))),
    "one.jsonl.zst": lambda path, rows: path.write_bytes(zstandard.compress(jsonl(rows))),
    "pieces.jsonl.gz": pieces(gzip.compress),
    "pieces.json.zst": pieces(zstandard.compress),
    "snappy.parquet": parquet("snappy"),
    "gzip.parquet": parquet("gzip"),
    "zstd.parquet": parquet("zstd"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_texts(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, DOCUMENTS)
    position = Position()
    found = list(texts(Source(path=str(tmp_path / name), template="{n}|{text}"), position))
    assert found == [f"{row['n']}|{row['text']}" for row in DOCUMENTS]
    assert position.done == position.total == (tmp_path / name).stat().st_size


def test_folder_and_glob_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "b/1.jsonl.gz", "a.jsonl", ".cache/x.jsonl", "README.md", "info.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = json.dumps({"text": name}).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(texts(Source(path=str(tmp_path)))) == ["a.jsonl", "b/1.jsonl.gz", "b/2.jsonl"]
    assert list(find(str(tmp_path / "*" / "*.jsonl"))) == ["b/2.jsonl"]
    assert list(find(str(tmp_path / "b" / "2.jsonl"))) == ["2.jsonl"]
    for missing in ("c", "b/*.parquet", "README.md"):
        with pytest.raises(ConfigError, match=r"no file matches .*names end in \.jsonl"):
            find(str(tmp_path / missing))


def test_a_name_with_wildcard_characters_is_itself_first(tmp_path: Path) -> None:
    (tmp_path / "run[1].jsonl").write_text('{"text": "brackets"}\n')
    (tmp_path / "run1.jsonl").write_text('{"text": "wildcard"}\n')
    assert list(texts(Source(path=str(tmp_path / "run[1].jsonl")))) == ["brackets"]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_a_cut_off_file_is_an_error_and_not_a_short_source(tmp_path: Path, suffix: str) -> None:
    """python-zstandard ends a cut-off file without a word: half a corpus would pass for a whole one."""
    rows = [{"text": os.urandom(50).hex(), "n": 0} for _ in range(5000)]
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    {".jsonl.gz": WRITERS["one.jsonl.gz"], ".jsonl.zst": WRITERS["one.jsonl.zst"], ".parquet": parquet("zstd")}[suffix](
        whole, rows
    )
    assert len(list(texts(Source(path=str(whole))))) == 5000
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ConfigError, match=rf"cut{suffix}: cannot be read after (line|row) \d+"):
        list(texts(Source(path=str(cut))))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "cut o', r"bad\.jsonl: line 3: not valid JSON: Unterminated"),
        (b'{"text": "\xff"}', r"bad\.jsonl: line 3: not valid JSON: 'utf-8' codec"),
        (b'["a list"]', r"bad\.jsonl: line 3: list, each line must be a JSON object"),
        (b'{"body": "x", "url": "y"}', r"bad\.jsonl: line 3: no field 'text'; it has: body, url"),
        (b'{"text": null}', r"bad\.jsonl: line 3: field 'text' is null, not text or a number"),
        (b'{"text": ["x"]}', r"bad\.jsonl: line 3: field 'text' is list, not text"),
        (b'{"text": true}', r"bad\.jsonl: line 3: field 'text' is bool, not text"),
        (b'{"text": NaN}', r"bad\.jsonl: line 3: field 'text' is float, not text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "fine"}\n\n' + line)
    with pytest.raises(ConfigError, match=message):
        list(texts(Source(path=str(tmp_path / "bad.jsonl"))))
    assert list(texts(Source(path=str(tmp_path / "bad.jsonl"), max_documents=1))) == ["fine"]


def test_parquet_without_the_field_and_with_a_null(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None], "url": ["x", "y"]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"a\.parquet: no field 'body'; it has: text, url"):
        list(texts(Source(path=str(tmp_path), template="{body}")))
    with pytest.raises(ConfigError, match=r"a\.parquet: row 2: field 'text' is null"):
        list(texts(Source(path=str(tmp_path))))
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert list(texts(Source(path=str(tmp_path)))) == []


def rendered(template: str, **fields: object) -> str:
    render, _ = renderer(Source(path="x", template=template))
    return render(Row("x: line", 1, fields))


def test_templates() -> None:
    assert rendered("Question: {q}\nAnswer: {a}", q="1+1?", a=2) == "Question: 1+1?\nAnswer: 2"
    assert rendered("\\boxed{{{a}}} {b}", a=27.0, b=0.5) == "\\boxed{27} 0.5"
    assert rendered("{a b.c[0]}", **{"a b.c[0]": "a name is a name"}) == "a name is a name"
    for bad in ("{}", "{a:>3}", "{a!r}", "{a", "a}"):
        with pytest.raises(ConfigError, match=r"template .*write \{\{ and \}\} for braces"):
            rendered(bad, a="x")
    with pytest.raises(ConfigError, match="names no field"):
        rendered("text", a="x")


@given(st.text())
def test_a_document_is_never_read_as_a_template(value: str) -> None:
    assert rendered("{text}{text}", text=value + "{text.__class__}") == 2 * (value + "{text.__class__}")


def conversation(*turns: object) -> str:
    render, _ = renderer(Source(path="x", messages="chat"))
    return render(Row("x: line", 7, {"chat": list(turns)}))


def test_conversations_have_the_papers_form() -> None:
    turns = [{"role": "user", "content": "Hi", "id": 1}, {"role": "assistant", "content": "Ho\n"}]
    assert conversation(*turns) == "User:Hi\nAssistant:Ho\n"
    for turn, message in [
        ({"from": "human", "value": "Hi"}, "x: line 7: chat 1: no field 'role'; it has: from, value"),
        ({"role": "gpt", "content": "Hi"}, "x: line 7: chat 1: role 'gpt' is not one of system, user, assistant"),
        ({"role": "user", "content": None}, "x: line 7: chat 1: field 'content' is null"),
        ("Hi", "x: line 7: chat 1: no field 'role'; it has: none"),
    ]:
        with pytest.raises(ConfigError, match=message):
            conversation(turn)
    with pytest.raises(ConfigError, match="x: line 7: field 'chat' is empty, not a list of messages"):
        conversation()


def test_conversations_from_parquet(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    pq.write_table(pa.Table.from_pylist([{"chat": turns, "other": 1}]), tmp_path / "c.parquet")
    assert list(texts(Source(path=str(tmp_path), messages="chat"))) == ["User:Hi\nAssistant:Ho"]


GENERATOR = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Count:
    n: int

def count(n, word="w"):
    for i in range(Count(n).n):
        yield {"text": f"{word}{i}"}

def wrong():
    yield {"text": "fine"}
    yield "no dict"
"""


def test_generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "octo_test_words.py").write_text(GENERATOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    for spec in ("octo_test_words:count", f"{tmp_path}/octo_test_words.py:count"):
        assert list(call_generator(spec, {"n": 2})) == [{"text": "w0"}, {"text": "w1"}]
        source = Source(generator=spec, args={"n": 9, "word": "x"}, template="<{text}>", max_documents=2)
        assert list(texts(source)) == ["<x0>", "<x1>"]
    for spec, args, message in [
        ("octo_test_words", {}, "write module:function"),
        ("octo_no_module:count", {}, "cannot import octo_no_module"),
        (f"{tmp_path}/no.py:count", {}, "cannot import .*no.py"),
        ("octo_test_words:cuont", {}, "no function 'cuont' in octo_test_words; did you mean 'count'"),
        ("octo_test_words:count", {"m": 1}, r"missing a required argument: 'n'; it takes \(n, word='w'\)"),
        ("octo_test_words:count", {"n": 1, "m": 1}, "unexpected keyword argument 'm'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            call_generator(spec, args)
    with pytest.raises(ConfigError, match="octo_test_words:wrong: document 2: str, a generator must yield dicts"):
        list(texts(Source(generator="octo_test_words:wrong")))


def test_fingerprint_of_files_is_their_content_and_names(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text('{"text": "a"}\n')
    here, there = (fingerprint(Source(path=str(tmp_path / folder))) for folder in ("here", "there"))
    assert here == there == fingerprint(Source(path=str(tmp_path / "here" / "*.jsonl")))
    assert str(tmp_path) not in json.dumps(here)
    (tmp_path / "there" / "a.jsonl").write_text('{"text": "longer"}\n')
    assert fingerprint(Source(path=str(tmp_path / "there"))) != here  # the checksum is remembered, but not too long
    (tmp_path / "here" / "a.jsonl").rename(tmp_path / "here" / "b.jsonl")
    assert fingerprint(Source(path=str(tmp_path / "here"))) != here


def test_fingerprint_of_a_generator_is_its_name_arguments_and_code(tmp_path: Path) -> None:
    def print_of(folder: str, code: str, n: int = 1) -> dict:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "words.py").write_text(code)
        return fingerprint(Source(generator=f"{tmp_path / folder}/words.py:count", args={"n": n}))

    first = print_of("a", GENERATOR)
    assert first == print_of("b", GENERATOR)
    assert str(tmp_path) not in json.dumps(first)
    assert first != print_of("c", GENERATOR, n=2)
    assert first["code"] != print_of("d", GENERATOR + "# changed\n")["code"]
    assert "python" not in first
    with_python = print_of("e", GENERATOR + "count.depends_on_python = True\n")
    assert with_python["python"] == platform.python_version()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache as huggingface_hub lays it out: refs, blobs, and snapshots that link to them."""
    repo, commit = tmp_path / "datasets--acme--maths", "0123456789abcdef0123456789abcdef01234567"
    for folder in ("refs", "blobs", f"snapshots/{commit}/data/web"):
        (repo / folder).mkdir(parents=True)
    for name in ("main", "v1"):
        (repo / "refs" / name).write_text(commit)
    for i, name in enumerate(("README.md", "data/web/1.jsonl", "data/web/0.jsonl", "data/qa.jsonl")):
        (repo / "blobs" / str(i)).write_text(json.dumps({"text": name}))
        file = repo / "snapshots" / commit / name
        file.symlink_to(os.path.relpath(repo / "blobs" / str(i), file.parent))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repo


def test_a_data_set_on_the_hub_is_read_from_its_cache(hub: Path) -> None:
    everything = ["data/qa.jsonl", "data/web/0.jsonl", "data/web/1.jsonl"]
    for path, found in {
        "hf://datasets/acme/maths": everything,
        "hf://datasets/acme/maths@v1/data/web": everything[1:],
        "hf://datasets/acme/maths@v1/data/*.jsonl": everything[:1],
        "hf://datasets/acme/maths/data/web/1.jsonl": everything[2:],
    }.items():
        assert list(texts(Source(path=path))) == found
    source = Source(path="hf://datasets/acme/maths@v1/data/web")
    assert fingerprint(source) == {"hub": "acme/maths@v1/data/web"}
    for path, message in [
        ("hf://datasets/acme", r"write hf://datasets/owner/name\[@revision\]/glob"),
        ("hf://datasets/acme/other", "hf://datasets/acme/other: .*cached snapshot"),
        ("hf://datasets/acme/maths@v2", "hf://datasets/acme/maths@v2: .*cached snapshot"),
        ("hf://datasets/acme/maths/*.parquet", "no file matches 'hf://datasets/acme/maths/"),
    ]:
        with pytest.raises(ConfigError, match=message):
            list(texts(Source(path=path)))
