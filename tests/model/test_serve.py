"""A model of ours behind the OpenAI interface, asked by our own clients over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octothinker.corpus.llm import LLM, Ask, Client
from octothinker.model.engine import Engine, Request
from octothinker.model.serve import Serving
from octothinker.model.server import Characters, Server
from tests.served import serve, tiny_engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return tiny_engine(folder)


@pytest.fixture(scope="module")
def serving(engine: Engine) -> Iterator[Serving]:
    with serve(engine) as serving:
        yield serving


def post(url: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_engine_answers_through_http_as_it_does_here(engine: Engine, serving: Serving) -> None:
    texts = ["Is 1", "Yes, it", "42 = 30 +", "a", "b", "c"]
    asks = [Request(prompt=Characters().encode(t), max_tokens=8, n=2, temperature=1.0, seed=7) for t in texts]
    found = Server(serving.url, "tiny", workers=6).generate(asks)
    here = engine.generate(
        [Request(prompt=engine.tokenizer.encode(t), max_tokens=8, n=2, temperature=1.0, seed=7) for t in texts]
    )
    assert [[c.text for c in group] for group in found] == [[c.text for c in group] for group in here]


def test_a_chat_through_the_corpus_client(engine: Engine, serving: Serving, tmp_path: Path) -> None:
    llm = LLM(model="tiny", url=serving.url, cache=str(tmp_path), max_tokens=6, concurrency=3)
    prompts = [f"Is {n} + 1 = 12?" for n in range(5)]
    with Client(llm, tmp_path / "out") as client:
        client.start(map(Ask, prompts))
        found = [answer for _, [answer] in client.answers((p, [Ask(p)]) for p in prompts)]
    chats = [engine.tokenizer.encode(engine.tokenizer.chat([{"role": "user", "content": p}])) for p in prompts]
    here = engine.generate([Request(prompt=chat, max_tokens=6, temperature=0.0) for chat in chats])
    assert [answer.text for answer in found] == [group[0].text for group in here]
    assert [answer.tokens_in for answer in found] == [len(chat) for chat in chats]
    assert client.spent.tokens_out == sum(len(group[0].tokens) for group in here)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"messages": []}, 400, "messages: a list"),
        ({"messages": [{"role": "user", "content": ["parts"]}]}, 400, "messages: a list"),
        ({"messages": [{"role": "user", "content": "x" * 600}]}, 400, "over the context of 256"),
        ({"messages": [{"role": "user", "content": "x"}], "max_tokens": 250}, 400, "over the context of 256"),
        ({"messages": [{"role": "user", "content": "x"}], "max_tokens": True}, 400, "max_tokens=True"),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": -1}, 400, "temperature=-1"),
        ({"messages": [{"role": "user", "content": "x"}], "n": 10**9}, 400, "n=1000000000"),
        ({"messages": [{"role": "user", "content": "x"}], "stop": 7}, 400, "stop: a text"),
        ({"messages": [{"role": "user", "content": "x"}], "stream": True}, 400, "stream: not offered"),
        ({"messages": [{"role": "user", "content": "x"}], "model": "other"}, 404, "'tiny'"),
        (b"[1", 400, "Expecting"),
        (b"[" * 100_000, 400, "recursion"),
        (b"[]", 400, "no JSON object"),
    ],
)
def test_what_cannot_be_served_is_said_and_the_server_lives(serving: Serving, body: Any, code: int, said: str) -> None:
    found, answer = post(f"{serving.url}/chat/completions", body)
    assert found == code and said in answer["error"]["message"]
    good, _ = post(f"{serving.url}/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1})
    assert good == 200


def test_the_rest_of_the_interface(serving: Serving) -> None:
    with urllib.request.urlopen(f"{serving.url}/models", timeout=60) as answer:
        assert json.load(answer)["data"][0]["id"] == "tiny"
    assert post(f"{serving.url}/embeddings", {"model": "tiny"})[0] == 404
    code, answer = post(f"{serving.url}/completions", {"prompt": "Is 12", "max_tokens": 4, "temperature": 0, "seed": 3})
    assert code == 200 and answer["usage"]["completion_tokens"] <= 4 and answer["choices"][0]["index"] == 0


@pytest.mark.slow
def test_octo_serve_as_a_user_types_it(engine: Engine, folder: Path) -> None:
    command = [sys.executable, "-m", "octothinker", "serve", str(folder), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(f"Serving {folder.name} at http://127.0.0.1:")
            server = Server.at(line.split()[3])
            assert server is not None
            [[completion]] = server.generate([Request(prompt=Characters().encode("Is"), max_tokens=3)])
            assert len(completion.tokens) <= 3
        finally:
            process.terminate()


@pytest.mark.slow
def test_smollm2_answers_a_chat(smollm2_folder: Path, tmp_path: Path) -> None:
    """A real instruction model, through its own chat template: poor at arithmetic, but it speaks English."""
    from octothinker.model.hf import load_model
    from octothinker.model.tokenizer import Tokenizer

    engine = Engine(load_model(smollm2_folder), Tokenizer.load(smollm2_folder))
    with serve(engine, "smollm2") as serving:
        llm = LLM(model="smollm2", url=serving.url, cache=str(tmp_path), max_tokens=12)
        with Client(llm, tmp_path / "out") as client:
            [(_, [answer])] = client.answers([("q", [Ask("What is the capital of France?")])])
    assert "Paris" in answer.text and answer.tokens_out <= 12
