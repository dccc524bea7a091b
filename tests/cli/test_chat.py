"""`octo chat`: the same answer as the engine gives at once, piece by piece."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from octothinker.cli.models import CHUNK, stream
from octothinker.config import ModelConfig
from octothinker.model.engine import Engine, Request
from octothinker.model.hf import save_model
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def model() -> tuple[Llama, Tokenizer]:
    torch.manual_seed(0)
    tokenizer = train_tokenizer([f"Question: é{i}+{i}?\nAnswer: {2 * i}" for i in range(50)], 300)
    shape = ModelConfig(
        vocab_size=300, hidden_size=16, intermediate_size=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=8
    )
    llama = Llama(shape)
    llama.init_weights(0)
    return llama, tokenizer


def test_a_streamed_greedy_answer_is_the_engine_s(model: tuple[Llama, Tokenizer]) -> None:
    engine = Engine(*model)
    for question in ("é1+1?", "what"):
        prompt = engine.tokenizer.encode(question)
        [[whole]] = engine.generate([Request(prompt=prompt, max_tokens=3 * CHUNK + 1, temperature=0.0)])
        pieces = list(stream(engine, prompt, 3 * CHUNK + 1, 0.0, seed=0))
        assert "".join(pieces) == whole.text
        assert len(pieces) > 1


def test_chunks_draw_different_numbers(model: tuple[Llama, Tokenizer]) -> None:
    """Guards: a stream that begins anew with each chunk would repeat its draws, and at a high temperature its tokens."""
    engine = Engine(*model)
    text = "".join(stream(engine, engine.tokenizer.encode("a"), 2 * CHUNK, 1e6, seed=0))
    assert text != "".join(stream(engine, engine.tokenizer.encode("a"), CHUNK, 1e6, seed=0)) * 2


def test_a_stop_string_is_never_shown_not_even_in_part() -> None:
    class Fixed:
        """Engine and tokenizer whose tokens are characters of a fixed text."""

        text = "three<end>four"

        @property
        def tokenizer(self) -> Fixed:
            return self

        def decode(self, tokens: list[int]) -> str:
            return "".join(map(chr, tokens))

        def generate(self, requests: list[Request]) -> Any:
            ask = requests[0]
            start = len(ask.prompt) - 1
            tokens = [ord(c) for c in self.text[start : start + ask.max_tokens]]

            class Completion:
                finish = "length"

            Completion.tokens = tokens  # type: ignore[attr-defined]
            return [[Completion()]]

    pieces = list(stream(Fixed(), [0], 14, 0.0, 0, ("<end>",)))  # type: ignore[arg-type]
    assert pieces == ["three"]
    assert list(stream(Fixed(), [0], 14, 0.0, 0)) == ["three<en", "d>four"]  # type: ignore[arg-type]


def test_piped_questions_are_answered_one_a_line(
    model: tuple[Llama, Tokenizer], octo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "run" / "model", *model)  # a stage's folder will do
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\n\ntwo\n"))
    ended = octo(
        "chat", str(tmp_path / "run"), "--temperature", "0", "--max-tokens", "4", "--template", "Q: {question} A:"
    )
    assert ended.code == 0
    engine = Engine(*model)
    expected = []
    for question in ("one", "two"):
        prompt = engine.tokenizer.encode(f"Q: {question} A:")
        [[answer]] = engine.generate([Request(prompt=prompt, max_tokens=4, temperature=0.0)])
        expected.append(answer.text)
    assert ended.out == "".join(text + "\n" for text in expected)
    assert "> " not in ended.out
