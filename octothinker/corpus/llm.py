"""Questions to a chat model behind any OpenAI-compatible server, each paid for once.

    asks --cache, by content--> known? yes: done
                                no:  budget -> server (model/server.py: retries) -> cache -> answer, in the order of the asks

An answer's key is a hash of all that is sent: model, messages, sampling. It never has the address, so another server of the
same model, another number of connections or a rerun changes nothing and pays nothing. Before the first request the cost is
estimated and held against the budget; when the budget is reached, what is under way comes in and the stage stops with what
was spent, to go on where it was. What a model writes is text and stays text.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from octothinker.model.server import Failed, Server, wrong_shape
from octothinker.records import read_json, write_json
from octothinker.typed import ConfigError, check, not_identity

T = TypeVar("T")
CHARACTERS_PER_TOKEN = 3.0
"""For estimates and where a server counts nothing: low for English prose (about 4), so that mathematics costs no more."""
EVERY_REQUEST = {"http_401", "http_403", "http_404", "http_405"}
"""Refusals that no other document would escape: the stage stops at the first."""


@dataclass(frozen=True, kw_only=True)
class LLM:
    """A chat model: what decides its answers, where it is, and what may be spent on it."""

    model: str
    """Its name at the server."""
    temperature: float = 0.0
    max_tokens: int = 1024
    """Of one answer."""
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request's body, such as {"top_p": 0.95}."""
    url: str = not_identity("http://127.0.0.1:8000/v1")
    concurrency: int = not_identity(16)
    timeout: float = not_identity(600.0)
    """Seconds for one try."""
    tries: int = not_identity(6)
    pause: float = not_identity(1.0)
    """Seconds before the second try; doubled each time."""
    max_failed: float = not_identity(0.01)
    """Share of the documents that may be lost to the server, after all tries; one more stops the stage."""
    price_in: float = not_identity(0.0)
    """Of a million tokens sent."""
    price_out: float = not_identity(0.0)
    """Of a million tokens received."""
    max_cost: float | None = not_identity(None)
    """What a stage may spend in all, its earlier runs included, in the currency of the prices."""
    max_requests: int | None = not_identity(None)
    max_total_tokens: int | None = not_identity(None)
    """Sent and received together."""
    yes: bool = not_identity(False)
    """Begin although the estimate is over the budget (or there are prices and no budget): stop when it is reached."""
    cache: str | None = not_identity(None)
    """Folder of the answers. Default: octothinker/ in $XDG_CACHE_HOME or ~/.cache, shared by all stages of a user."""

    def __post_init__(self) -> None:
        check(bool(re.match(r"https?://", self.url)), f"llm.url={self.url!r}: write http://HOST:PORT/v1")
        for name in ("max_tokens", "concurrency", "tries"):
            check(getattr(self, name) >= 1, f"llm.{name}={getattr(self, name)} must be at least 1")

    @property
    def folder(self) -> Path:
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "octothinker"
        return Path(self.cache).expanduser() if self.cache else home

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


@dataclass(frozen=True)
class Ask:
    """One message of a user. `sample` tells apart what is asked several times."""

    prompt: str
    sample: int = 0
    temperature: float | None = None
    """None: the LLM's."""


@dataclass(frozen=True)
class Answer:
    """`failed` says why there is none, in a word (http_500, timeout, …); the text is then empty."""

    text: str
    finish: Literal["stop", "length"] = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    failed: str | None = None


class BudgetReached(ConfigError):
    """Nothing is lost: what was answered lies in the cache, a run with a larger budget goes on from there."""


class Cache:
    """Answers by key, in one SQLite file on a local disk: whole after a kill at any moment, shared by processes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = folder / "answers.sqlite", threading.Lock()
        try:
            self._db = sqlite3.connect(self.path, timeout=60.0, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")  # with `normal`: no flush to the disk for each answer
            self._db.execute("pragma synchronous = normal")
            self._db.execute("create table if not exists answers (key text primary key, answer text not null)")
        except sqlite3.Error as error:
            raise ConfigError(f"{self.path}: cannot keep answers there: {error}") from error

    def get(self, key: str) -> Answer | None:
        with self._lock:
            row = self._db.execute("select answer from answers where key = ?", (key,)).fetchone()
        return Answer(**json.loads(row[0])) if row else None

    def put(self, key: str, answer: Answer) -> None:
        with self._lock:
            self._db.execute("insert or ignore into answers values (?, ?)", (key, json.dumps(asdict(answer))))

    def close(self) -> None:
        with self._lock:
            self._db.close()


@dataclass
class Spent:
    """What a stage has spent so far, in spent.json of its folder; `retries` and `failures` by reason."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    retries: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """Of what the cache does not hold. Tokens received, and so the cost, are the most that there can be."""

    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests ({self.cached:,} more are answered already), about {self.tokens_in:,} tokens sent, "
            f"at most {self.tokens_out:,} received, at most {self.cost:,.2f}"
        )


class Client:
    """Asks for one stage; a context manager. `out` is the stage's folder, for estimate.json and spent.json."""

    def __init__(self, llm: LLM, out: Path) -> None:
        self.llm, self.out, self.cache = llm, out, Cache(llm.folder)
        out.mkdir(parents=True, exist_ok=True)
        self.server = Server(llm.url.rstrip("/"), llm.model, llm.concurrency, llm.tries, llm.timeout, llm.pause)
        self.spent = Spent(**read_json(out / "spent.json")) if (out / "spent.json").exists() else Spent()
        self.done = 0
        """Answers so far, known ones too."""
        self.allowed = 0
        """Failures after which the stage stops."""
        self._stopped = False
        self._promised = (0, 0)  # tokens (in, out) that the requests under way may cost
        self._failed: Counter[str] = Counter()
        self._lock, self._saved = threading.Lock(), 0.0

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()
        self.cache.close()

    def start(self, asks: Iterable[Ask | int]) -> Estimate:
        """The estimate, shown and held against the budget. ConfigError when it is over and `yes` was not said.

        A number among the asks: the characters of one that will be made of an answer which is not there yet."""
        llm, keys = self.llm, set[str]()
        further = cached = tokens_in = 0
        for ask in asks:
            key = "" if isinstance(ask, int) else self._key(ask)
            if isinstance(ask, int):
                further += 1
                tokens_in += round(ask / CHARACTERS_PER_TOKEN)
            elif key in keys or self.cache.get(key) is not None:
                cached += 1
            else:
                keys.add(key)
                tokens_in += _tokens(ask.prompt)
        requests = len(keys) + further
        tokens_out = requests * llm.max_tokens
        estimate = Estimate(requests, cached, tokens_in, tokens_out, llm.cost(tokens_in, tokens_out))
        self.allowed = int(llm.max_failed * (requests + cached))
        write_json(self.out / "estimate.json", asdict(estimate))
        print(f"{llm.model}: {estimate}", file=sys.stderr)
        over = self._over(requests, tokens_in, tokens_out)
        if not over and estimate.cost > 0 and llm.max_cost is None:
            over = "there are prices, and no max_cost"
        if over and not llm.yes:
            raise ConfigError(
                f"{llm.model}: {estimate}. That is over the budget: {over}; raise it, or set yes=true to begin and stop there"
            )
        return estimate

    def answers(self, questions: Iterable[tuple[T, list[Ask]]]) -> Iterator[tuple[T, list[Answer]]]:
        """The answers to each item's asks, in the order of the items, a few of them ahead. The first BudgetReached, or the
        failure that is one too many, is raised when what is under way has come in."""
        waiting: deque[tuple[T, list[Future[Answer]]]] = deque()
        under_way: dict[str, Future[Answer]] = {}
        ahead = 0
        pool = ThreadPoolExecutor(self.llm.concurrency)
        try:
            for item, asks in questions:
                futures = []
                for ask in asks:  # equal asks that wait together are sent once
                    key = self._key(ask)
                    if key not in under_way:
                        under_way[key] = pool.submit(self._answer, key, ask)
                    futures.append(under_way[key])
                waiting.append((item, futures))
                ahead += len(asks)
                while ahead > 4 * self.llm.concurrency and waiting:
                    item, futures = waiting.popleft()
                    ahead -= len(futures)
                    yield self._came(item, futures)
                    under_way = {k: f for k, f in under_way.items() if not f.done()}
            while waiting:
                item, futures = waiting.popleft()
                yield self._came(item, futures)
        except (Exception, KeyboardInterrupt, SystemExit):  # a GeneratorExit is no fault
            self._stopped = True  # what waits to be tried again is given up
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            self._save()

    def _came(self, item: T, futures: list[Future[Answer]]) -> tuple[T, list[Answer]]:
        answers = [future.result() for future in futures]
        self.done += len(answers)
        return item, answers

    def known(self, ask: Ask) -> Answer | None:
        """An answer that was paid for before."""
        return self.cache.get(self._key(ask))

    def _key(self, ask: Ask) -> str:
        return hashlib.sha256(json.dumps(self._body(ask), sort_keys=True).encode()).hexdigest()

    def _body(self, ask: Ask) -> dict[str, Any]:
        llm = self.llm
        return {
            "model": llm.model,
            "messages": [{"role": "user", "content": ask.prompt}],
            "max_tokens": llm.max_tokens,
            "temperature": llm.temperature if ask.temperature is None else ask.temperature,
            "seed": (llm.seed * 1_000_003 + ask.sample) % 2**31,
            **llm.extra,
        }

    def _answer(self, key: str, ask: Ask) -> Answer:
        known = self.cache.get(key)
        if known is not None:
            return known
        promised = _tokens(ask.prompt), self.llm.max_tokens
        self._request(None, *promised)
        try:
            answer = self.server.post("chat/completions", self._body(ask), _read, self._request)
        except Failed as error:
            answer = self._lost(error)
        finally:
            with self._lock:
                self._promised = self._promised[0] - promised[0], self._promised[1] - promised[1]
        if answer.failed:
            return answer
        answer = answer if answer.tokens_in or answer.tokens_out else _counted(answer, ask)
        self.cache.put(key, answer)
        with self._lock:
            spent = self.spent
            spent.tokens_in += answer.tokens_in
            spent.tokens_out += answer.tokens_out
            spent.cost += self.llm.cost(answer.tokens_in, answer.tokens_out)
        if time.monotonic() - self._saved > 1.0:
            self._save()
        return answer

    def _request(self, again: str | None, tokens_in: int = 0, tokens_out: int = 0) -> None:
        """One request is about to be sent, for the reason `again` when it is not the first. BudgetReached when it may not."""
        with self._lock:
            if self._stopped:
                raise CancelledError
            over = self._over(1, self._promised[0] + tokens_in, self._promised[1] + tokens_out)
            if over:
                raise BudgetReached(
                    f"{self.llm.model}: the budget is reached: {over}. Spent: {self.spent.requests:,} requests, "
                    f"{self.spent.tokens_in:,} tokens sent, {self.spent.tokens_out:,} received, {self.spent.cost:,.2f}. The "
                    "answers are kept: raise the budget and start again to go on"
                )
            self.spent.requests += 1
            self._promised = self._promised[0] + tokens_in, self._promised[1] + tokens_out
            if again:
                self.spent.retries[again] = self.spent.retries.get(again, 0) + 1

    def _over(self, requests: int, tokens_in: int, tokens_out: int) -> str:
        """What would be exceeded by that much more, or ''."""
        llm, spent = self.llm, self.spent
        tokens = spent.tokens_in + spent.tokens_out + tokens_in + tokens_out
        cost = spent.cost + llm.cost(tokens_in, tokens_out)
        for name, limit, value in (
            ("max_requests", llm.max_requests, spent.requests + requests),
            ("max_total_tokens", llm.max_total_tokens, tokens),
            ("max_cost", llm.max_cost, cost),
        ):
            if limit is not None and value > limit:
                return f"{name}={limit:,}, and it would be {value:,.6g}"
        return ""

    def _lost(self, error: Failed) -> Answer:
        with self._lock:
            self._failed[error.reason] += 1
            self.spent.failures[error.reason] = self.spent.failures.get(error.reason, 0) + 1
            lost = sum(self._failed.values())
        if error.reason in EVERY_REQUEST:
            raise error
        if lost > self.allowed:
            reasons = ", ".join(f"{reason} {n}" for reason, n in self._failed.most_common())
            raise Failed(
                error.reason,
                f"{lost} answers could not be had ({reasons}), more than max_failed={self.llm.max_failed:g} allows; "
                f"what was answered is kept. The last one: {error}",
            )
        return Answer("", failed=error.reason)

    def _save(self) -> None:
        with self._lock:
            self._saved = time.monotonic()
            write_json(self.out / "spent.json", asdict(self.spent))


def _tokens(text: str) -> int:
    return round(len(text) / CHARACTERS_PER_TOKEN)


def _counted(answer: Answer, ask: Ask) -> Answer:
    return Answer(answer.text, answer.finish, _tokens(ask.prompt), _tokens(answer.text))


def _read(answer: Any) -> Answer:
    """Checked: a wrong shape is asked for again, never taken for an empty answer. `null` is one: a model that only thought."""
    try:
        [choice] = answer["choices"]
        text = choice["message"]["content"]
        check(text is None or isinstance(text, str), "a text that is none")
        usage = answer.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        sound = all(isinstance(n, int) and 0 <= n < 1 << 31 for n in counts)
        finish: Literal["stop", "length"] = "length" if choice.get("finish_reason") == "length" else "stop"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise wrong_shape(error) from error
    return Answer(whole(text or ""), finish, *(counts if sound else (0, 0)))


def whole(text: str) -> str:
    """Halves of surrogate pairs, which JSON can spell and UTF-8 cannot, become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
