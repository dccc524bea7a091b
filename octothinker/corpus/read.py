"""Raw pages from web archives, HTML folders and tables of pages: stage 1 of the corpus.

    WARC (.warc, .warc.gz, .warc.zst) | .html, .xhtml, … | .jsonl, .parquet, .arrow (gz, zst), also of a data set's folder
    file | folder | glob, local or an fsspec URL (s3://…, hf://datasets/…) -> RawPage, RawPage, …

What is broken is never fatal and never silent: `Reader.broken` counts it by reason, `Reader.samples` shows where.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

from octothinker.typed import ConfigError, check

WARC = (".warc", ".warc.gz", ".warc.zst")
HTML = tuple(name + end for name in (".html", ".htm", ".xhtml", ".xht") for end in ("", ".gz", ".zst"))
ROWS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".parquet", ".arrow")
HTML_FIELDS, URL_FIELDS = ("html", "raw_html", "content", "body", "text"), ("url", "uri", "warc_target_uri", "id")
SAMPLES = 5
"""Broken records that are named, of each reason."""
LARGEST = 100_000_000
"""Bytes of one page that are read at most; extraction's own limit is lower and counts what it refuses."""


class RawPage(NamedTuple):
    """One page as it was fetched; `source` and `source_offset` (bytes, or the row's number) say where it stands."""

    url: str
    html: bytes
    content_type: str
    date: str
    source: str
    source_offset: int
    charset: str | None = None


class Reader:
    """The pages of `path`, in the order of the files' names. `field`: the HTML's field in rows, found by name if None."""

    def __init__(self, path: str, field: str | None = None) -> None:
        self.files, self._open = _find(path)
        self.field = field
        self.broken: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}
        self.pages = self.done_bytes = 0
        self.total_bytes = sum(self.files.values())

    def __iter__(self) -> Iterator[RawPage]:
        before = 0
        for name, size in self.files.items():
            read = _warc if name.endswith(WARC) else _page if name.endswith(HTML) else _rows
            seen = self.pages
            for page in read(self, name):
                self.pages += 1
                self.done_bytes = before + min(page.source_offset if read is _warc else 0, size)
                yield page
            before += size
            self.done_bytes = before
            if self.pages == seen and size == 0:
                self.count("empty_file", name)

    def open(self, name: str) -> IO[bytes]:
        return self._open(name)

    def count(self, reason: str, where: str) -> None:
        self.broken[reason] += 1
        if len(examples := self.samples.setdefault(reason, [])) < SAMPLES:
            examples.append(where)


def _find(path: str) -> tuple[dict[str, int], Callable[[str], IO[bytes]]]:
    """Names and sizes of the files, and how to open one. ConfigError when there is none."""
    import fsspec
    from fsspec.core import url_to_fs

    try:
        fs, root = url_to_fs(path)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{path}: {error}") from error
    known = (*WARC, *HTML, *ROWS)
    if fs.isdir(root):
        found = [name for name in fs.find(root) if not any(p.startswith(".") for p in name[len(root) :].split("/"))]
    elif fs.isfile(root):
        check(root.endswith(known), f"{path}: none of {', '.join(known)}")
        found = [root]
    else:
        found = fs.glob(root) if any(c in root for c in "*?[") else []
    names = sorted(name for name in found if name.endswith(known))
    check(bool(names), f"no file matches {path!r} (names end in {', '.join(known)})")

    def opener(name: str) -> IO[bytes]:
        packed = {".gz": "gzip", ".zst": "zstd"}.get(name[name.rfind(".") :]) if not name.endswith(WARC) else None
        return fsspec.core.OpenFile(fs, name, compression=packed).open()  # type: ignore[no-any-return]

    return {name: int(fs.size(name) or 0) for name in names}, opener


# ---- WARC -------------------------------------------------------------------------------------------------------------


def _warc(reader: Reader, name: str) -> Iterator[RawPage]:
    """Pages of one archive. After a damaged stretch of a .gz it goes on with the next record that can be read."""
    start, found = 0, 0
    while start is not None:
        last, error = start, None
        with reader.open(name) as stream:
            stream.seek(start)
            for record, body, offset in _records(stream):
                last = start + offset
                if isinstance(record, Exception):
                    error = record
                    break
                found += 1
                if (page := _from_record(reader, name, record, body, last)) is not None:
                    yield page
        if error is None:
            break
        reader.count("damaged_record", f"{name}, byte {last}: {error}")
        start = _next_member(reader, name, last + 1) if name.endswith(".gz") else None  # type: ignore[assignment]
    if not found and reader.files[name] and not reader.broken["damaged_record"]:
        reader.count("no_record", name)


def _records(stream: IO[bytes]) -> Iterator[tuple[Any, bytes, int]]:
    """(record, its payload, offset) or (error, b"", offset of the last good record)."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    offset = 0
    kinds = WarcRecordType.response | WarcRecordType.resource
    try:
        for record in ArchiveIterator(stream, record_types=kinds, parse_http=True, auto_decode="all"):
            offset = record.stream_pos
            yield record, record.reader.read(LARGEST), offset
    except (OSError, ValueError) as error:  # what FastWARC raises for a bad stream, header or coding
        yield error, b"", offset


def _from_record(reader: Reader, name: str, record: Any, body: bytes, offset: int) -> RawPage | None:
    url = record.headers.get("WARC-Target-URI", "")
    where = f"{name}, byte {offset}: {url}"
    http = record.http_headers
    status = http.status_code if http is not None else None
    coded = http is not None and (http.get("Content-Encoding") or http.get("Transfer-Encoding"))
    if len(body) < min(record.content_length, LARGEST) and not coded:
        return reader.count("truncated_record", where)
    if status is not None and status != 200:
        return reader.count("http_status", f"{where} ({status})")
    kind = record.http_content_type or record.headers.get("Content-Type") or ""
    if not looks_like_html(body, kind):
        return reader.count("not_html", f"{where} ({kind})")
    date = record.record_date.isoformat() if record.record_date else ""
    return RawPage(url, body, kind, date, name, offset, record.http_charset)


def looks_like_html(body: bytes, content_type: str) -> bool:
    """By the header, or by the first bytes: XHTML is often sent as XML, or without a header."""
    if "html" in content_type:
        return True
    head = body[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if content_type and "xml" not in content_type and "octet-stream" not in content_type and "text/plain" not in content_type:
        return False
    return head.startswith((b"<!doctype html", b"<html")) or b"<html" in head


def _next_member(reader: Reader, name: str, start: int) -> int | None:
    """Where the next gzip member begins that holds a WARC record, from byte `start` on."""
    import zlib

    with reader.open(name) as stream:
        while True:
            stream.seek(start)
            piece = stream.read(1 << 22)
            at = piece.find(b"\x1f\x8b\x08")
            if at < 0:
                if len(piece) < 1 << 22:
                    return None
                start += len(piece) - 2
                continue
            try:
                if zlib.decompressobj(31).decompress(piece[at : at + 4096], 16).startswith(b"WARC/"):
                    return start + at
            except zlib.error:
                pass
            start += at + 1


# ---- single pages and rows --------------------------------------------------------------------------------------------


def _page(reader: Reader, name: str) -> Iterator[RawPage]:
    try:
        with reader.open(name) as stream:
            html = stream.read(LARGEST)
    except (OSError, EOFError, ValueError) as error:
        return reader.count("damaged_file", f"{name}: {error}")
    if html:
        yield RawPage(f"file://{name}", html, "text/html", "", name, 0)
    return None


def _rows(reader: Reader, name: str) -> Iterator[RawPage]:
    rows = _json_lines if ".jsonl" in name or name.endswith(".ndjson") else _columns
    for number, row in rows(reader, name):
        where = f"{name}: row {number}"
        field = reader.field or next((f for f in HTML_FIELDS if row.get(f)), None)
        html = row.get(field) if field else None
        if not isinstance(html, str | bytes) or not html:
            reader.count("no_html", f"{where}: no field {field or ' or '.join(HTML_FIELDS)}")
            continue
        raw = html.encode("utf-8", "replace") if isinstance(html, str) else html
        url = next((str(row[f]) for f in URL_FIELDS if row.get(f)), f"{name}#{number}")
        date = str(row.get("date") or row.get("timestamp") or "")
        yield RawPage(url, raw, str(row.get("content_type") or "text/html"), date, name, number)


def _json_lines(reader: Reader, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with reader.open(name) as stream:
            for number, line in enumerate(io.BufferedReader(stream), 1):  # type: ignore[type-var]
                if line.isspace():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:  # bad JSON or bad UTF-8
                    reader.count("bad_json", f"{name}: line {number}: {error}")
                    continue
                if isinstance(row, dict):
                    yield number, row
                else:
                    reader.count("bad_json", f"{name}: line {number}: {type(row).__name__}, not an object")
    except (OSError, EOFError) as error:
        reader.count("damaged_file", f"{name}: after line {number}: {error}")


def _columns(reader: Reader, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parquet, and the Arrow files of a Hugging Face data set saved to a folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with reader.open(name) as stream:
            if name.endswith(".parquet"):
                batches = pq.ParquetFile(stream).iter_batches(batch_size=64)
            else:
                batches = pa.ipc.open_stream(stream)
            for batch in batches:
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, pa.ArrowException) as error:
        reader.count("damaged_file", f"{name}: after row {number}: {error}")
