"""Workers and the command: order, pages that hang or kill, a run that is interrupted and goes on, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selectolax", reason="needs the corpus extra: selectolax")

from octothinker.corpus.extract import Limits, files, pool
from octothinker.corpus.extract.files import extract_file
from octothinker.corpus.extract.pool import Worker, extract_all
from octothinker.corpus.read import RawPage
from octothinker.typed import ConfigError

HANGS = b"<p>" + rb"\begin{equation}" * 60_000  # quadratic in the search for an end


def page(html: bytes, name: str = "u") -> RawPage:
    return RawPage(name, html, "text/html", "", "s", 0)


def test_a_page_that_hangs_costs_only_itself() -> None:
    htmls = [HANGS, b"<p>one", HANGS, b"<p>two", b"<p>three"]
    results = list(
        extract_all([page(html, str(i)) for i, html in enumerate(htmls)], 1, Limits(seconds=1.0, bytes=1_500_000))
    )
    assert [r.raw.url for r in results] == ["0", "1", "2", "3", "4"], "in the order of the pages"
    assert [r.reason for r in results] == ["timeout", "", "timeout", "", ""]
    assert [r.page.text for r in results if r.page] == ["one", "two", "three"]


def test_a_worker_that_dies_is_replaced_and_its_page_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    give = Worker.give

    def killing(self: Worker, index: int, raw: RawPage) -> None:
        give(self, index, raw)
        started.append(self.process.pid)
        if raw.url == "bad":
            self.process.kill()

    monkeypatch.setattr(Worker, "give", killing)
    results = list(
        extract_all(
            [page(b"<p>a"), page(b"<p>" + b"b" * 10_000_000, "bad"), page(b"<p>c")], 1, Limits(bytes=20_000_000)
        )
    )
    assert [(r.reason, r.page.text if r.page else "") for r in results] == [("", "a"), ("crashed", ""), ("", "c")]
    assert len(set(started)) == 2 and "code -9" in results[1].detail


def test_a_worker_that_cannot_start_is_an_error_not_a_thousand_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.sys, "executable", shutil.which("false"))
    with pytest.raises(ConfigError, match="before its first page"):
        list(extract_all([page(b"<p>a"), page(b"<p>b")], 1))


def test_no_process_is_left_behind_when_the_reading_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Worker] = []
    init = Worker.__init__
    monkeypatch.setattr(Worker, "__init__", lambda self, limits: (made.append(self), init(self, limits))[1])

    def endless() -> Iterator[RawPage]:
        while True:
            yield page(b"<p>again")

    results = extract_all(endless(), 1)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert made and all(worker.process.poll() is not None for worker in made)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.html").write_text(
            f"<title>T{i}</title><p>Page {i} has \\(x_{{{i}}}\\) and more.</p>" if i != 5 else "<nav>menu</nav>"
        )
    return folder


def test_every_page_is_written_or_counted(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    report = extract_file(str(site), out, 1, Limits())
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert (report["pages"], report["written"], report["dropped"]) == (8, 7, {"empty": 1}) and len(rows) == 7
    assert list(rows[3]) == ["url", "text", "formulas", "title"] and rows[3]["text"] == "Page 3 has $x_{3}$ and more."
    assert rows[3]["formulas"] == [{"tex": "x_{3}", "display": False, "kind": "delimited"}] and rows[3]["title"] == "T3"
    assert "5.html" in report["samples"]["empty"][0]
    before = out.stat().st_mtime_ns
    assert extract_file(str(site), out, 1, Limits()) == report and out.stat().st_mtime_ns == before, (
        "costs nothing again"
    )
    with pytest.raises(ConfigError, match="other limits"):
        extract_file(str(site), out, 1, Limits(depth=5))


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(files, "SAVE_EVERY", 0.0)
    clean = extract_file(str(site), tmp_path / "clean.jsonl", 1, Limits())

    def interrupt(pages: int, *_: object) -> None:
        if pages == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_file(str(site), tmp_path / "b.jsonl", 1, Limits(), watch=interrupt)
    seen: list[int] = []
    again = extract_file(str(site), tmp_path / "b.jsonl", 1, Limits(), watch=lambda pages, *_: seen.append(pages))
    assert seen[0] == stop, "what was saved is not done again: all but the page that was being told of"
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "clean.jsonl").read_bytes()
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in clean.items() if k != "seconds"}
    assert sorted(p.name for p in tmp_path.glob("b.*")) == ["b.jsonl", "b.jsonl.report.json"]


@pytest.mark.slow
def test_the_command_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i:02}.html").write_bytes(
            f"<p>Page {i} \\(y_{i}\\) {'word ' * 40}</p>".encode() if i % 20 else HANGS
        )
    command = [
        sys.executable,
        "-m",
        "octothinker",
        "corpus",
        "extract",
        str(folder),
        "--workers",
        "1",
        "--seconds",
        "1",
        "--out",
    ]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(
        [*command, str(tmp_path / "clean.jsonl")], env=env, capture_output=True, text=True, check=True
    )
    assert "57 of 60 pages, 57 formulas" in done.stdout and "3 timeout" in done.stdout
    running = subprocess.Popen([*command, str(tmp_path / "b.jsonl")], env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "b.jsonl.part").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    subprocess.run([*command, str(tmp_path / "b.jsonl")], env=env, capture_output=True, check=True)
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "clean.jsonl").read_bytes()
