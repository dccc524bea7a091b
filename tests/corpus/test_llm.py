"""The client against a real local server that fails in every way, and what it promises about money."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octothinker.corpus.llm import LLM, Answer, Ask, BudgetReached, Client
from octothinker.model.server import Failed
from octothinker.records import read_json
from octothinker.typed import ConfigError, identity
from tests.corpus.chat_server import FAULTS, Chat, serving

REASONS = {"slow": "timeout", "drip": "timeout", "cut": "connection", "hung up": "connection"}
REASONS |= {"wrong json": "not_json", "deep json": "not_json", "no utf-8": "not_json"}
REASONS |= dict.fromkeys(("other form", "no choice", "a number"), "wrong_shape")


@pytest.fixture
def chat() -> Iterator[Chat]:
    with serving(lambda prompt, body: f"{prompt}!") as chat:
        yield chat


@pytest.fixture
def llm(chat: Chat, tmp_path: Path) -> LLM:
    return LLM(model="m", url=chat.url, cache=str(tmp_path / "cache"), timeout=0.3, tries=3, pause=0.001, concurrency=4)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., list[Answer]]:
    def ask(llm: LLM, prompts: list[str]) -> list[Answer]:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        with Client(llm, out) as client:
            client.start(Ask(prompt) for prompt in prompts)
            return [answer for _, [answer] in client.answers((p, [Ask(p)]) for p in prompts)]

    return ask


def test_answers_come_in_order_and_what_is_equal_is_asked_once(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]]
) -> None:
    prompts = [f"é{i % 30}" for i in range(60)]
    assert [answer.text for answer in ask(llm, prompts)] == [f"{prompt}!" for prompt in prompts]
    assert sorted(chat.prompts) == sorted(set(prompts))
    sent = chat.seen[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0.0, 1024)


def test_a_rerun_pays_nothing_wherever_the_server_is(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]], tmp_path: Path
) -> None:
    first = ask(llm, ["a", "b", "c"])
    elsewhere = dataclasses.replace(llm, url="http://127.0.0.1:9/v1", concurrency=1, price_in=1.0, max_cost=9.0)
    assert ask(elsewhere, ["c", "b", "a"]) == first[::-1]
    assert len(chat.seen) == 3
    assert read_json(tmp_path / "out/estimate.json") == {
        "requests": 0, "cached": 3, "tokens_in": 0, "tokens_out": 0, "cost": 0.0
    }  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"model": "n"}, {"temperature": 0.5}, {"max_tokens": 9}, {"seed": 1}, {"extra": {"top_p": 0.5}}]
)
def test_what_decides_an_answer_is_asked_anew(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]], change: dict[str, Any]
) -> None:
    ask(llm, ["a"])
    changed = dataclasses.replace(llm, **change)
    ask(changed, ["a"])
    assert len(chat.seen) == 2
    assert identity(changed) != identity(llm)


def test_the_address_and_the_budget_are_no_part_of_the_identity(llm: LLM) -> None:
    assert set(identity(llm)) == {"model", "temperature", "max_tokens", "seed", "extra"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_asked_again_and_counted(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]], fault: str, tmp_path: Path
) -> None:
    chat.faults += [fault, fault]
    assert [a.text for a in ask(llm, ["x"])] == ["x!"]
    spent = read_json(tmp_path / "out/spent.json")
    assert spent["retries"] == {REASONS.get(fault, f"http_{fault}"): 2} and spent["requests"] == 3
    assert (spent["tokens_in"], spent["tokens_out"]) == (1, 2)


def test_lost_answers_are_counted_up_to_a_share_and_then_stop_the_stage(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]], tmp_path: Path
) -> None:
    chat.fault = lambda prompt: {"p3": "500", "p4": "400", "p5": "wrong json"}.get(prompt, "")
    prompts = [f"p{i}" for i in range(10)]
    found = ask(dataclasses.replace(llm, max_failed=0.3), prompts)
    assert [a.failed for a in found[3:6]] == ["http_500", "http_400", "not_json"]
    assert read_json(tmp_path / "out/spent.json")["failures"] == {"http_400": 1, "http_500": 1, "not_json": 1}
    assert [a.text for a in found[6:]] == [f"{p}!" for p in prompts[6:]]
    with pytest.raises(Failed, match=r"3 answers could not be had .* more than max_failed=0.2"):
        ask(dataclasses.replace(llm, max_failed=0.2), prompts)
    chat.fault = lambda prompt: ""
    chat.seen.clear()
    assert [a.text for a in ask(llm, prompts)] == [f"{p}!" for p in prompts]
    assert sorted(chat.prompts) == ["p3", "p4", "p5"]  # a failure is no answer: it is asked again, the others are not


def test_a_refused_key_stops_at_once(chat: Chat, llm: LLM, ask: Callable[..., list[Answer]]) -> None:
    chat.fault = lambda prompt: "401"
    with pytest.raises(Failed, match="HTTP 401: not now"):
        ask(dataclasses.replace(llm, max_failed=1.0, concurrency=1), [f"p{i}" for i in range(50)])
    assert len(chat.seen) < 10


@pytest.mark.parametrize(
    ("limit", "paid"),
    [
        ({"max_requests": 5}, 5),
        ({"max_total_tokens": 1 + 1024 + 10}, 3),
        ({"price_out": 1e3, "max_cost": 1.024 + 0.0091}, 4),
    ],
)
def test_a_budget_is_not_exceeded_and_the_next_run_goes_on(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]], tmp_path: Path, limit: dict[str, Any], paid: int
) -> None:
    """One after the other, each "pN" costs 2 + 3 tokens, and 1024 are set aside for the answer that is under way."""
    prompts = [f"p{i}" for i in range(10)]
    poor = dataclasses.replace(llm, concurrency=1, yes=True, **limit)
    with pytest.raises(BudgetReached, match="the budget is reached: max_"):
        ask(poor, prompts)
    spent = read_json(tmp_path / "out/spent.json")
    assert spent["requests"] == len(chat.seen) == paid
    assert spent["cost"] <= limit.get("max_cost", 0.0)
    ask(dataclasses.replace(llm, yes=True), prompts)
    assert sorted(chat.prompts) == prompts  # none twice


def test_what_a_stage_spent_in_an_earlier_run_counts(chat: Chat, llm: LLM, ask: Callable[..., list[Answer]]) -> None:
    frugal = dataclasses.replace(llm, max_requests=3)
    ask(frugal, ["a", "b"])
    with pytest.raises(ConfigError, match=r"max_requests=3, and it would be 4"):
        ask(frugal, ["a", "c", "d"])
    ask(frugal, ["a", "c"])
    assert len(chat.seen) == 3


def test_an_estimate_over_the_budget_asks_nothing(chat: Chat, llm: LLM, ask: Callable[..., list[Answer]]) -> None:
    dear = dataclasses.replace(llm, price_in=3.0, price_out=15.0, max_tokens=1000)
    with pytest.raises(ConfigError, match="there are prices, and no max_cost"):
        ask(dear, ["a" * 3000])
    # 1,000 tokens at 3 a million and at most 1,000 at 15 a million
    with pytest.raises(ConfigError, match=r"at most 0.02\. .*max_cost=0.017, and it would be 0.018"):
        ask(dataclasses.replace(dear, max_cost=0.017), ["a" * 3000])
    assert not chat.seen
    ask(dataclasses.replace(dear, max_cost=0.018), ["a" * 3000])  # within the budget: nobody is asked for a yes
    ask(dataclasses.replace(dear, yes=True, max_cost=100.0), ["b"])
    assert len(chat.seen) == 2


@pytest.mark.parametrize(
    "text", ["\ud800half", "nul\0byte", "", None, "<script>alert(1)</script>\x1b[31m", "${x} {text}"]
)
def test_whatever_the_model_writes_is_text(
    chat: Chat, llm: LLM, ask: Callable[..., list[Answer]], text: str | None
) -> None:
    chat.reply = lambda prompt, body: text
    [first], [again] = ask(llm, ["x"]), ask(llm, ["x"])
    assert first.text == again.text == (text or "").replace("\ud800", "\ufffd")
    assert len(chat.seen) == 1


def test_a_cache_that_is_none(llm: LLM, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/answers.sqlite").write_text("not a database " * 100)
    with pytest.raises(ConfigError, match=r"answers.sqlite: cannot keep answers there"):
        Client(llm, tmp_path)


def test_nobody_there(tmp_path: Path, ask: Callable[..., list[Answer]]) -> None:
    away = LLM(model="m", url="http://127.0.0.1:9/v1", cache=str(tmp_path), tries=2, pause=0.001)
    with pytest.raises(Failed, match="could not be had"):
        ask(away, ["a", "b"])
    with pytest.raises(ConfigError, match="http://HOST:PORT/v1"):
        LLM(model="m", url="localhost:8000")
