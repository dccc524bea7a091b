"""The server engine against a real local server that misbehaves in every way we know of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from octothinker.model.engine import Request
from octothinker.model.server import Characters, Server
from octothinker.typed import ConfigError


class Handler(BaseHTTPRequestHandler):
    faults: list[str]
    seen: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append(body)
        fault = self.faults.pop(0) if self.faults else ""
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(b"not now")
            return
        if fault == "slow":
            time.sleep(1.0)
        answer = {
            "choices": [
                {"index": i, "text": f"{body['prompt']}#{i}", "finish_reason": "length" if i else "stop"}
                for i in reversed(range(body["n"] - (fault == "too few")))
            ],
            "usage": {"completion_tokens": 7 * body["n"]},
        }
        text = {"wrong json": b'{"choices": [', "other form": b'{"error": "x"}'}.get(fault, json.dumps(answer).encode())
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(text[: len(text) // 2])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[Server, type[Handler]]]:
    handler = type("Fresh", (Handler,), {"faults": [], "seen": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield Server(f"http://127.0.0.1:{http.server_port}/v1", "m", workers=4, timeout=0.5, pause=0.01, tries=3), handler
    http.shutdown()
    http.server_close()


def ask(text: str, n: int = 1, **more: Any) -> Request:
    return Request(prompt=Characters().encode(text), max_tokens=9, n=n, **more)


def test_answers_come_in_order(server: tuple[Server, type[Handler]]) -> None:
    engine, handler = server
    found = engine.generate([ask(f"é{i}", n=2, temperature=0.0, seed=2**60 + 1, stop=("Q:",)) for i in range(20)])
    assert [[c.text for c in group] for group in found] == [[f"é{i}#0", f"é{i}#1"] for i in range(20)]
    assert [c.finish for c in found[0]] == ["stop", "length"] and len(found[0][0].tokens) == 7
    sent = handler.seen[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["stop"]) == ("m", 0.0, 9, ["Q:"])
    assert 0 <= sent["seed"] < 2**31


@pytest.mark.parametrize("fault", ["slow", "429", "500", "cut", "wrong json", "other form", "too few"])
def test_a_fault_is_asked_again_and_never_an_empty_answer(server: tuple[Server, type[Handler]], fault: str) -> None:
    engine, handler = server
    handler.faults += [fault, fault]
    assert [[c.text for c in g] for g in engine.generate([ask("x", 2)])] == [["x#0", "x#1"]]
    assert len(handler.seen) == 3
    handler.faults += [fault] * 3
    with pytest.raises(ConfigError, match="asked 3 times"):
        engine.generate([ask("x", 2)])


def test_a_refusal_is_not_asked_again(server: tuple[Server, type[Handler]]) -> None:
    engine, handler = server
    handler.faults += ["404"]
    with pytest.raises(ConfigError, match="HTTP 404: not now"):
        engine.generate([ask("x")])
    assert len(handler.seen) == 1


def test_nobody_there() -> None:
    with pytest.raises(ConfigError, match="asked 2 times"):
        Server("http://127.0.0.1:9/v1", "m", tries=2, pause=0.01).generate([ask("x")])


def test_names_that_mean_a_server() -> None:
    for ref in ("http://h:8/v1#a/b", "http:/h:8/v1#a/b"):
        found = Server.at(ref)
        assert found is not None and (found.url, found.model) == ("http://h:8/v1", "a/b")
    assert Server.at("runs/model") is None
    assert Server.at("owner/name@main") is None
