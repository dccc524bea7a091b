"""Readers: every format gives the same pages, and what is broken is counted and shown, never fatal."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

pytest.importorskip("fastwarc", reason="needs the corpus extra: fastwarc")

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from octothinker.corpus.read import RawPage, Reader, looks_like_html
from octothinker.typed import ConfigError

PAGES = [(f"http://x.example/{i}", f"<html><p>page {i} {'word ' * 200}</p></html>".encode()) for i in range(6)]
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>x</body></html>'


def record(
    url: str, body: bytes, header: bytes = b"Content-Type: text/html; charset=utf-8", status: str = "200 OK"
) -> bytes:
    http = b"HTTP/1.1 " + status.encode() + b"\r\n" + header + b"\r\n\r\n" + body
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
    head += "Content-Type: application/http; msgtype=response\r\n"
    return (
        head.encode()
        + f"WARC-Record-ID: <urn:uuid:{url}>\r\nContent-Length: {len(http)}\r\n\r\n".encode()
        + http
        + b"\r\n\r\n"
    )


def records() -> list[bytes]:
    return [record(*page) for page in PAGES]


def members() -> list[bytes]:
    return [gzip.compress(one) for one in records()]


def write_rows(folder: Path) -> None:
    rows = [{"url": url, "html": html.decode(), "date": "2024"} for url, html in PAGES]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.jsonl.zst").write_bytes(zstandard.compress(lines))
    pq.write_table(pa.Table.from_pylist(rows), folder / "c.parquet")
    with pa.ipc.new_stream(str(folder / "d.arrow"), pa.Table.from_pylist(rows).schema) as stream:
        stream.write_table(pa.Table.from_pylist(rows))


def same(path: Path) -> list[RawPage]:
    reader = Reader(str(path))
    pages = list(reader)
    assert [(page.url, page.html) for page in pages] == PAGES and not reader.broken
    return pages


def test_warcs_plain_and_packed(tmp_path: Path) -> None:
    for name, data in (
        ("a.warc", b"".join(records())),
        ("b.warc.gz", b"".join(members())),
        ("c.warc.zst", b"".join(zstandard.compress(one) for one in records())),
    ):
        (tmp_path / name).write_bytes(data)
        page = same(tmp_path / name)[1]
        assert (page.date[:10], page.charset) == ("2024-05-01", "utf-8") and "html" in page.content_type
        assert page.source_offset > 0 and page.source.endswith(name)


def test_rows_of_every_kind(tmp_path: Path) -> None:
    write_rows(tmp_path)
    for name in ("a.jsonl", "b.jsonl.zst", "c.parquet", "d.arrow"):
        assert same(tmp_path / name)[2].source_offset == 3


def test_folders_globs_and_urls(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for i, (_, html) in enumerate(PAGES):
        (tmp_path / "sub" / f"{i}.html").write_bytes(html)
    (tmp_path / "sub" / "6.html.gz").write_bytes(gzip.compress(XHTML))
    (tmp_path / "notes.txt").write_text("no page")
    assert [page.html for page in Reader(str(tmp_path))] == [html for _, html in PAGES] + [XHTML]
    assert len(list(Reader(f"{tmp_path}/sub/[01].html"))) == 2
    import fsspec

    with fsspec.open("memory://crawl/a.warc.gz", "wb") as file:
        file.write(b"".join(members()))
    assert [page.url for page in Reader("memory://crawl/a.warc.gz")] == [url for url, _ in PAGES]


@pytest.mark.parametrize("path", ["nothing/here", "README.md", "nosuch://a/b.warc"])
def test_a_path_without_pages_is_the_users_error(path: str) -> None:
    with pytest.raises(ConfigError, match=path):
        Reader(path)


def test_a_cut_off_archive_gives_what_is_whole_and_counts_the_rest(tmp_path: Path) -> None:
    whole = members()
    (tmp_path / "cut.warc.gz").write_bytes(b"".join(whole[:3]) + whole[3][:-60])
    reader = Reader(str(tmp_path / "cut.warc.gz"))
    assert [page.url for page in reader] == [url for url, _ in PAGES[:3]]
    assert sum(reader.broken.values()) == 1 and "byte" in next(iter(reader.samples.values()))[0]


def test_after_a_damaged_stretch_it_goes_on_with_the_next_record(tmp_path: Path) -> None:
    parts = members()
    parts[2] = parts[2][:40] + bytes(20) + parts[2][60:]
    (tmp_path / "bad.warc.gz").write_bytes(b"".join(parts))
    reader = Reader(str(tmp_path / "bad.warc.gz"))
    urls = [page.url for page in reader]
    assert [url for url, _ in PAGES[3:]] == urls[-3:] and urls[:2] == [url for url, _ in PAGES[:2]]
    assert reader.broken["damaged_record"] + reader.broken["truncated_record"] >= 1


def test_what_is_no_page_is_counted_under_its_reason(tmp_path: Path) -> None:
    data = [
        record("http://x.example/a", XHTML, b"X-Nothing: 1"),
        record("http://x.example/b", XHTML, b"Content-Type: application/xml"),
        record("http://x.example/c", b"%PDF-1.4", b"Content-Type: application/pdf"),
        record("http://x.example/d", b"<html>gone</html>", status="404 Not Found"),
        record("http://x.example/e", gzip.compress(PAGES[0][1]), b"Content-Type: text/html\r\nContent-Encoding: gzip"),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(data))
    (tmp_path / "b.warc").write_bytes(b"this is no archive at all" * 9)
    (tmp_path / "c.jsonl").write_text('{"url": "u", "html": "<p>x"}\n{"url": \n[1]\n{"url": "u"}\n')
    (tmp_path / "d.warc").write_bytes(b"")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "f.html.gz").write_bytes(gzip.compress(b"<p>" + b"x" * 9999)[:-9])
    reader = Reader(str(tmp_path))
    pages = list(reader)
    assert [page.html for page in pages] == [XHTML, XHTML, PAGES[0][1], b"<p>x"]
    assert reader.broken == {
        "not_html": 1,
        "http_status": 1,
        "damaged_record": 1,
        "bad_json": 2,
        "no_html": 1,
        "empty_file": 1,
        "damaged_file": 2,
    }
    assert "line 2" in reader.samples["bad_json"][0]


def test_html_by_header_or_by_its_first_bytes() -> None:
    assert looks_like_html(b"whatever", "text/html") and looks_like_html(XHTML, "application/xhtml+xml")
    assert looks_like_html(b"\xef\xbb\xbf\n<!DOCTYPE HTML>", "") and not looks_like_html(
        b'{"a": "<html>"}', "application/json"
    )


def test_an_empty_stream_is_no_archive() -> None:
    from octothinker.corpus.read import _records

    assert list(_records(io.BytesIO(b""))) == []
