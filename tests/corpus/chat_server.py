"""A chat server whose answers a test decides, and which fails in every way we know of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STATUS = ("400", "401", "429", "500", "503")
BODIES = {
    "wrong json": b'{"choices": [',
    "deep json": b"[" * 200_000,
    "other form": b'{"error": "x"}',
    "no choice": b'{"choices": []}',
    "a number": b'{"choices": [{"message": {"content": 7}}]}',
    "no utf-8": b"\xff\xfe\x00",
}
FAULTS = (*STATUS[2:], *BODIES, "slow", "drip", "cut", "hung up")


class Chat:
    """`reply(prompt, body)` is the answer's text (and "length" behind it, when it is cut short); `faults` are used up first;
    `fault(prompt)` names one for good."""

    def __init__(self, reply: Callable[[str, dict[str, Any]], Any]) -> None:
        self.reply, self.faults, self.seen = reply, list[str](), list[dict[str, Any]]()
        self.fault: Callable[[str], str] = lambda prompt: ""
        self.url = ""

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.seen]


@contextmanager
def serving(reply: Callable[[str, dict[str, Any]], Any]) -> Iterator[Chat]:
    chat = Chat(reply)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"]
            with lock:
                chat.seen.append(body)
                fault = chat.faults.pop(0) if chat.faults else chat.fault(prompt)
            assert self.path == "/v1/chat/completions"
            if fault in STATUS:
                self.send_response(int(fault))
                self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(b"not now")
                return
            if fault == "hung up":
                self.connection.close()
                return
            found = chat.reply(prompt, body)
            text, finish = found if isinstance(found, tuple) else (found, "stop")
            usage = {"prompt_tokens": len(prompt), "completion_tokens": len(text or "")}
            answer = {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage}
            data = BODIES.get(fault, json.dumps(answer).encode())
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                if fault == "slow":
                    time.sleep(0.5)
                if fault == "drip":
                    for i in range(8):
                        self.wfile.write(data[i : i + 1])
                        time.sleep(0.06)
                    data = data[8:]
                self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            except OSError:
                pass  # the client has given up
            if fault == "cut":
                self.connection.close()

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    chat.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield chat
    finally:
        http.shutdown()
        http.server_close()
