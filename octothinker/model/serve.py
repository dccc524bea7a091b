"""`octo serve MODEL`: a model folder behind the OpenAI interface, for local work and tests; server.py is the client.

    requests, a thread each -> queue -> one thread: all that wait, in one batch, through the engine -> answers

/v1/models, /v1/completions and /v1/chat/completions, without streaming and without keys, on the loopback by default. A batch
ends with its longest answer: vLLM is the server for large work.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from octothinker.model.engine import Completion, Engine, Request
from octothinker.typed import ConfigError, check

MAX_BODY = 1 << 24  # bytes
MAX_SAMPLES = 64


class Batcher:
    """`ask` from any thread; what waits together is decoded together."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self.engine, self.batch = engine, batch
        self._queue: queue.SimpleQueue[tuple[Request, Future[list[Completion]]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def ask(self, request: Request) -> list[Completion]:
        future: Future[list[Completion]] = Future()
        self._queue.put((request, future))
        return future.result()

    def _run(self) -> None:
        while True:
            waiting = [self._queue.get()]
            while len(waiting) < self.batch and not self._queue.empty():
                waiting.append(self._queue.get())
            try:
                for (_, future), found in zip(
                    waiting, self.engine.generate([request for request, _ in waiting]), strict=True
                ):
                    future.set_result(found)
            except Exception as error:  # told to those who asked; the server goes on
                for _, future in waiting:
                    if not future.done():
                        future.set_exception(error)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": self._serving.name, "object": "model"}]})
        else:
            self._send(404, _error("no such path"))

    def do_POST(self) -> None:
        try:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > MAX_BODY:
                self.close_connection = True  # its body is not read
                self._send(413, _error(f"send a Content-Length of at most {MAX_BODY:,} bytes"))
                return
            body = json.loads(self.rfile.read(int(length)))
            check(isinstance(body, dict), "the body is no JSON object")
            path = self.path.rstrip("/")
            if path not in ("/v1/completions", "/v1/chat/completions"):
                self._send(404, _error("no such path"))
            elif body.get("model", "default") not in ("default", self._serving.name):
                self._send(404, _error(f"the model served here is {self._serving.name!r}"))
            else:
                self._send(200, self._serving.answer(body, chat="chat" in path))
        except (ConfigError, ValueError, RecursionError) as error:
            self._send(400, _error(str(error)))
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # who asked is gone
        except Exception as error:
            self._send(500, _error(f"{type(error).__name__}: {error}"))

    @property
    def _serving(self) -> Serving:
        return cast(Serving, self.server)

    def _send(self, code: int, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


class Serving(ThreadingHTTPServer):
    """The HTTP server itself; `serve_forever` and `shutdown` are the standard library's."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine, name: str, host: str = "127.0.0.1", port: int = 0, batch: int = 16) -> None:
        super().__init__((host, port), Handler)
        self.name, self.engine, self.batcher = name, engine, Batcher(engine, batch)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_port}/v1"

    def answer(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        """The JSON for one request; ConfigError for one that cannot be served."""
        check(not body.get("stream"), "stream: not offered here")
        tokenizer = self.engine.tokenizer
        if chat:
            tokens = tokenizer.encode(tokenizer.chat(_messages(body.get("messages"))))
        else:
            prompt = body.get("prompt")
            check(isinstance(prompt, str) and bool(prompt), "prompt: a text is needed")
            tokens = tokenizer.encode(str(prompt))
        if tokenizer.bos_id is not None and tokens[:1] != [tokenizer.bos_id]:
            tokens = [tokenizer.bos_id, *tokens]
        context = self.engine.config.max_position
        room = context - len(tokens)
        wanted = body.get("max_completion_tokens", body.get("max_tokens"))
        max_tokens = _number(body, "max_tokens", wanted, room if chat else 16, 1, context)
        check(
            1 <= max_tokens <= room,
            f"{len(tokens)} tokens and max_tokens={max_tokens} are over the context of {context}",
        )
        stop = body.get("stop") or []
        stop = [stop] if isinstance(stop, str) else stop
        check(isinstance(stop, list) and all(isinstance(s, str) and s for s in stop), "stop: a text or a list of texts")
        request = Request(
            prompt=tokens,
            max_tokens=int(max_tokens),
            n=int(_number(body, "n", body.get("n"), 1, 1, MAX_SAMPLES)),
            temperature=float(_number(body, "temperature", body.get("temperature"), 1.0, 0.0, 100.0)),
            seed=int(_number(body, "seed", body.get("seed"), time.time_ns() % 2**31, -(2**63), 2**63)),
            stop=tuple(stop),
        )
        found = self.batcher.ask(request)
        written = sum(len(c.tokens) for c in found)
        usage = {"prompt_tokens": len(tokens), "completion_tokens": written, "total_tokens": len(tokens) + written}
        choices = [
            {"index": i, "finish_reason": c.finish}
            | ({"message": {"role": "assistant", "content": c.text}} if chat else {"text": c.text})
            for i, c in enumerate(found)
        ]
        kind = "chat.completion" if chat else "text_completion"
        return {"object": kind, "created": int(time.time()), "model": self.name, "choices": choices, "usage": usage}


def _messages(value: Any) -> list[dict[str, str]]:
    good = isinstance(value, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value
    )
    check(good and bool(value), 'messages: a list of {"role", "content"}, both texts')
    return [{"role": m["role"], "content": m["content"]} for m in value]


def _number(body: dict[str, Any], name: str, value: Any, default: float, low: float, high: float) -> float:
    if value is None:
        return default
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    check(good and low <= value <= high, f"{name}={value!r}: a number from {low:g} to {high:g}")
    return value


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}
