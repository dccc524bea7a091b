"""Any server with the OpenAI completions interface (vLLM, SGLang, llama.cpp, …) behind the engine's `generate`.

    http://HOST:PORT/v1#MODEL

Standard library only. Several requests are under way at once; 429, 5xx, timeouts, cut connections and answers that are no
JSON are asked again with growing pauses, anything else is an error that says what the server said. The key, if one is
needed, is read from OPENAI_API_KEY. A server's samples depend on its batches and its version: ours are reproducible
from their seed, these need not be. `post` serves any path of such a server (corpus/llm.py asks for chats with it).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from octothinker.model.engine import Completion, Request
from octothinker.typed import ConfigError, check

T = TypeVar("T")
AGAIN = {408, 409, 429, 500, 502, 503, 504}
MAX_ANSWER = 1 << 26  # bytes


class Characters:
    """Stands where the tokenizer does: a server is sent text, so a token is a character."""

    bos_id: int | None = None
    hash = "characters"

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class Again(Exception):
    """What may go well the next time; `after`: seconds the server asked for."""

    def __init__(self, reason: str, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.reason, self.after = reason, after


class Failed(ConfigError):
    """The server refused, or kept failing. `reason` in a word: http_404, timeout, connection, not_json, wrong_shape."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Server:
    url: str
    model: str
    workers: int = 16
    tries: int = 6
    timeout: float = 600.0
    """Seconds for one try, from sending to the last byte of the answer."""
    pause: float = 1.0
    """Seconds before the second try; doubled each time."""

    @classmethod
    def at(cls, ref: str | Path, workers: int = 16) -> Server | None:
        """The server that a model's name means; None for a name that means none. A Path has lost a slash."""
        match = re.fullmatch(r"(https?):/+([^#]+?)/*(?:#(.*))?", str(ref))
        return cls(f"{match[1]}://{match[2]}", match[3] or "default", min(workers, 64)) if match else None

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """n completions for each request, in order. ConfigError when the server refuses, or keeps failing."""
        pool = ThreadPoolExecutor(self.workers)
        try:
            return list(pool.map(self._ask, requests))
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, request: Request) -> list[Completion]:
        body = {
            "model": self.model,
            "prompt": "".join(map(chr, request.prompt)),
            "max_tokens": request.max_tokens,
            "n": request.n,
            "temperature": request.temperature,
            "seed": request.seed % 2**31,
            **({"stop": list(request.stop)} if request.stop else {}),
        }
        return self.post("completions", body, lambda answer: _completions(answer, request))

    def post(
        self, path: str, body: Any, read: Callable[[Any], T], again: Callable[[str], None] = lambda reason: None
    ) -> T:
        """What `read` makes of the answer's JSON; it raises `wrong_shape` for an answer of another form. Before each further
        try `again` is told why; what it raises ends the trying. `Failed` when the server refuses, or fails in every try."""
        data, pause = json.dumps(body).encode(), self.pause
        for attempt in range(1, self.tries + 1):
            try:
                return read(self._post(path, data))
            except Again as error:
                if attempt == self.tries:
                    raise Failed(error.reason, f"{self.url}: {error}; asked {self.tries} times") from error
                time.sleep(min(60.0, max(error.after, pause)))
                again(error.reason)
                pause *= 2
        raise AssertionError("not reached")

    def _post(self, path: str, data: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {os.environ['OPENAI_API_KEY']}"
        ask = urllib.request.Request(f"{self.url}/{path}", data=data, headers=headers)
        deadline = time.monotonic() + self.timeout
        try:
            with urllib.request.urlopen(ask, timeout=self.timeout) as answer:
                text = _read(answer, deadline)
        except urllib.error.HTTPError as error:
            said = f"HTTP {error.code}: {_said(error)}"
            if error.code not in AGAIN:
                raise Failed(f"http_{error.code}", f"{self.url}: {said}") from error
            after = error.headers.get("Retry-After") or ""
            raise Again(f"http_{error.code}", said, float(after) if after.isdecimal() else 0.0) from error
        except (OSError, http.client.HTTPException) as error:  # refused, reset, cut short, timed out
            late = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
            raise Again("timeout" if late else "connection", f"{type(error).__name__}: {error}") from error
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Again("not_json", f"the answer is no JSON: {text[:80]!r}") from error


def _read(answer: Any, deadline: float) -> bytes:
    """The whole answer. A socket's timeout is for one piece: a server that sends a byte a minute never meets it."""
    text = bytearray()
    while piece := answer.read1(1 << 16):
        text += piece
        if time.monotonic() > deadline:
            raise TimeoutError("the answer did not end in time")
        if len(text) > MAX_ANSWER:
            raise Again("too_long", f"the answer has more than {MAX_ANSWER:,} bytes")
    if answer.length:
        raise http.client.IncompleteRead(bytes(text), answer.length)
    return bytes(text)


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(300).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return "(and no more)"


def wrong_shape(error: Exception) -> Again:
    return Again("wrong_shape", f"an answer of another form: {error!r}")


def _completions(answer: Any, request: Request) -> list[Completion]:
    """Checked: a wrong shape or number of choices is asked for again, never taken for an empty answer."""
    try:
        found = sorted(answer["choices"], key=lambda choice: choice.get("index", 0))
        total = answer.get("usage", {}).get("completion_tokens") or sum(len(c["text"]) // 4 for c in found)
        check(len(found) == request.n, f"{len(found)} choices for n={request.n}")
        check(all(isinstance(c["text"], str) for c in found), "a text that is none")
        letters = max(1, sum(len(c["text"]) for c in found))
        return [
            Completion(
                tokens=[0] * round(total * len(c["text"]) / letters),  # the server tells their sum only
                logprobs=[],
                finish="length" if c.get("finish_reason") == "length" else "stop",
                text=c["text"],
            )
            for c in found
        ]
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise wrong_shape(error) from error
