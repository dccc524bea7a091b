"""`octo eval` on a server, killed with -9 in the middle, and the two commands that read what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from octothinker.records import read_json, read_jsonl


class Solver(BaseHTTPRequestHandler):
    asked: list[str]
    pause = 0.1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(body["prompt"])
        time.sleep(self.pause)
        number = int(body["prompt"].rsplit("Q: ", 1)[1].split("+")[0])
        texts = [f" The answer is {number + (1 if number % 3 else 2)}."] * body["n"]
        answer = json.dumps(
            {"choices": [{"index": i, "text": t, "finish_reason": "stop"} for i, t in enumerate(texts)]}
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Solver]]]:
    handler = type("Fresh", (Solver,), {"asked": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1#toy", handler
    http.shutdown()
    http.server_close()


def octo(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "octothinker", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def test_eval_is_killed_goes_on_and_reruns_for_nothing(tmp_path: Path, server: tuple[str, type[Solver]]) -> None:
    url, handler = server
    rows = [{"question": f"{i}+1?", "answer": str(i + 1)} for i in range(24)]
    (tmp_path / "gsm8k.jsonl").write_text(
        "".join(json.dumps({**r, "answer": f"#### {r['answer']}"}) + "\n" for r in rows)
    )
    args = (
        "eval",
        url,
        "--suite",
        "quick",
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "a"),
        "--set",
        "eval.batch=2",
    )
    process = octo(*args)
    while len(handler.asked) < 8:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (tmp,) = (tmp_path / "a" / "stages").glob("eval.*.tmp")
    kept = len(list((tmp / "chunks").glob("*.jsonl")))
    assert kept >= 2
    time.sleep(0.3)
    first = len(handler.asked)
    again = octo(*args)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert len(handler.asked) - first == 24 - 2 * kept, "what was answered is not asked again"
    assert "Not here, left out: math500, svamp, mmlu_stem" in said
    assert "66.7%" in said and "different 8" in said and "few_shot" in said
    (done,) = (tmp_path / "a" / "stages").glob("eval.*")
    assert [r["id"] for r in read_jsonl(done / "samples.jsonl")] == [str(i) for i in range(24)]
    assert read_json(done / "results.json")["sets"]["gsm8k"]["greedy"]["graded"] == 24
    asked = len(handler.asked)
    assert octo(*args).wait() == 0 and len(handler.asked) == asked, "reruns cost nothing"
    diff = octo("eval-diff", str(tmp_path / "a"), str(done)).communicate()[0]
    assert "gsm8k" in diff and "+0.0" in diff


def test_contamination_shows_the_words(tmp_path: Path) -> None:
    question = "A ferry carries 38 cars on its morning trip and 17 fewer on its evening trip. How many is that in all?"
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps({"question": question, "answer": "#### 59"}) + "\n")
    (tmp_path / "web.jsonl").write_text(json.dumps({"text": f"Well: {question} It is 59."}) + '\n{"text": "x"}\n')
    out = tmp_path / "found.jsonl"
    process = octo("contamination", str(tmp_path / "web.jsonl"), "--data", str(tmp_path), "--out", str(out))
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert "100.0%" in said
    (match,) = read_jsonl(out)
    assert (match["set"], match["exact"]) == ("gsm8k", True) and match["where"].endswith("line 1")
