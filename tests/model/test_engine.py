"""The rollout engine, plain and compiled: decode == prefill == the trainer's forward, one stream a sample, exact sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from octothinker import native
from octothinker.config import ModelConfig
from octothinker.model import engine as engine_module
from octothinker.model.engine import Completion, Engine, Request, stream_key, uniforms
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer, train_tokenizer

TEXT = ["the cat sat on the mat", "12 + 30 = 42", "a dog and a cat", "stop here END now"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXT, 300)


@pytest.fixture(scope="module", params=["llama", "qwen2", "qwen3"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Llama:
    config = ModelConfig(
        family=request.param,
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
    )
    made = Llama(config)
    made.init_weights(3)
    with torch.no_grad():  # large enough that the next token depends on the context
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return made.eval()


@pytest.fixture(params=["plain", "compiled"])
def make(request: pytest.FixtureRequest) -> Callable[..., Engine]:
    if request.param == "compiled" and native.library() is None:
        pytest.skip("the compiled operators were not built here, or are switched off")
    return partial(Engine, compiled=request.param == "compiled")


def assert_same(one: list[list[Completion]], other: list[list[Completion]]) -> None:
    """Same tokens; log-probs to rounding (a matmul of another size adds in another order)."""
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            assert (x.tokens, x.finish, x.text) == (y.tokens, y.finish, y.text)
            assert x.logprobs == pytest.approx(y.logprobs, abs=1e-4)


def requests(tokenizer: Tokenizer, temperature: float, n: int = 3) -> list[Request]:
    prompts = ["the cat", "12 + 30 =", "a", "stop here and go on with the cat"]
    return [
        Request(prompt=tokenizer.encode(text), max_tokens=20 + i, n=n, temperature=temperature, seed=7 + i)
        for i, text in enumerate(prompts)
    ]


def forward_logprobs(model: Llama, prompt: list[int], tokens: list[int], temperature: float = 1.0) -> torch.Tensor:
    ids = torch.tensor([prompt + tokens])
    with torch.no_grad():
        logits = model(ids)[0, len(prompt) - 1 : -1].float() / temperature
    return logits.log_softmax(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_the_trainers(
    model: Llama, tokenizer: Tokenizer, temperature: float, make: Callable[..., Engine]
) -> None:
    asks = requests(tokenizer, temperature)
    for ask, group in zip(asks, make(model, tokenizer).generate(asks), strict=True):
        assert len(group) == ask.n
        for done in group:
            expected = forward_logprobs(model, ask.prompt, done.tokens, temperature)
            expected = expected[range(len(done.tokens)), done.tokens]
            torch.testing.assert_close(torch.tensor(done.logprobs), expected, atol=1e-4, rtol=1e-4)


def test_a_shared_prefix_changes_nothing(model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few-shot prompts: what all begin with is run once; the same log-probs as the trainer's, the same samples as without."""
    shots = tokenizer.encode("12 + 30 = 42\nthe cat sat on the mat\n")
    assert len(shots) >= engine_module.SHARED_PREFIX
    asks = [
        Request(prompt=shots + tokenizer.encode(text), max_tokens=12, n=2, seed=i)
        for i, text in enumerate(("a", "the cat sat on", "stop here END"))
    ]
    passes = []
    plain = Engine._forward
    monkeypatch.setattr(
        Engine, "_forward", lambda self, tokens, *a: (passes.append(tokens.shape), plain(self, tokens, *a))[1]
    )
    shared = Engine(model, tokenizer, compiled=False).generate(asks)
    assert [shape[0] for shape in passes] == [1, 3] and passes[0][1] >= len(shots) - 1
    monkeypatch.setattr(engine_module, "SHARED_PREFIX", 10_000)
    assert_same(shared, Engine(model, tokenizer, compiled=False).generate(asks))
    for ask, group in zip(asks, shared, strict=True):
        for done in group:
            expected = forward_logprobs(model, ask.prompt, done.tokens)[range(len(done.tokens)), done.tokens]
            torch.testing.assert_close(torch.tensor(done.logprobs), expected, atol=1e-4, rtol=1e-4)


def test_greedy_is_the_argmax_of_the_full_forward(
    model: Llama, tokenizer: Tokenizer, make: Callable[..., Engine]
) -> None:
    asks = requests(tokenizer, 0.0, n=1)
    for ask, (done,) in zip(asks, make(model, tokenizer).generate(asks), strict=True):
        assert done.tokens == forward_logprobs(model, ask.prompt, done.tokens).argmax(-1).tolist()


def test_a_broken_rope_offset_is_seen(model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parity test above is not vacuous: positions that are off by one while decoding trip it."""
    plain = engine_module.rope_tables

    def shifted(frequencies: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return plain(frequencies, positions + (1 if positions.ndim == 1 else 0))  # 1-D: the decoding step

    monkeypatch.setattr(engine_module, "rope_tables", shifted)
    with pytest.raises(AssertionError):
        test_logprobs_equal_the_trainers(model, tokenizer, 1.0, partial(Engine, compiled=False))


def test_a_sample_does_not_depend_on_its_batch(model: Llama, tokenizer: Tokenizer, make: Callable[..., Engine]) -> None:
    asks = requests(tokenizer, 1.0)
    together = make(model, tokenizer, batch=64).generate(asks)
    assert_same(make(model, tokenizer, batch=2).generate(asks), together)
    backwards = make(model, tokenizer).generate(asks[::-1])[::-1]
    assert_same(backwards, together)
    alone = [make(model, tokenizer).generate([ask])[0] for ask in asks]
    assert_same(alone, together)


def test_seeds_and_samples_differ(model: Llama, tokenizer: Tokenizer, make: Callable[..., Engine]) -> None:
    ask = Request(prompt=tokenizer.encode("the cat"), max_tokens=24, n=4, seed=1)
    other = Request(prompt=ask.prompt, max_tokens=24, n=4, seed=2)
    first, second = make(model, tokenizer).generate([ask, other])
    texts = [tuple(done.tokens) for done in first + second]
    assert len(set(texts)) == len(texts)


def test_token_frequencies_are_the_models_probabilities(
    model: Llama, tokenizer: Tokenizer, make: Callable[..., Engine]
) -> None:
    """Chi-square over the first sampled token: 20,000 draws; the bound is the 1 - 1e-6 quantile (normal approximation)."""
    n = 20_000
    ask = Request(prompt=tokenizer.encode("a dog"), max_tokens=1, n=n, seed=11)
    (group,) = make(model, tokenizer, batch=n).generate([ask])
    counts = np.bincount([done.tokens[0] for done in group], minlength=tokenizer.vocab_size)
    expected = n * forward_logprobs(model, ask.prompt, [0]).exp()[0].double().numpy()
    often = expected >= 5
    observed, wanted = counts[often], expected[often]
    if not often.all():  # the rare ones as one class
        observed = np.append(observed, counts[~often].sum())
        wanted = np.append(wanted, expected[~often].sum())
    chi2, freedom = float(((observed - wanted) ** 2 / wanted).sum()), len(wanted) - 1
    assert freedom > 5
    assert chi2 < freedom + 4.75 * math.sqrt(2 * freedom) + 4.75**2 * 2 / 3


def test_stop_strings_and_limits(model: Llama, tokenizer: Tokenizer, make: Callable[..., Engine]) -> None:
    ask = Request(prompt=tokenizer.encode("the cat"), max_tokens=60, n=8, seed=5)
    (plain,) = make(model, tokenizer).generate([ask])
    victim = max(plain, key=lambda done: len(done.text))
    stop = victim.text[4:6]
    (cut,) = make(model, tokenizer).generate([Request(prompt=ask.prompt, max_tokens=60, n=8, seed=5, stop=(stop,))])
    for before, after in zip(plain, cut, strict=True):
        if stop in before.text:
            assert after.text == before.text.split(stop)[0] and after.finish == "stop"
            assert after.tokens == before.tokens[: len(after.tokens)]
        else:
            assert_same([[after]], [[before]])
    assert any(done.finish == "length" and len(done.tokens) == 60 for done in plain)
    for done in plain:
        assert (done.tokens[-1] in tokenizer.eos_ids) == (done.finish == "stop")


def test_requests_that_cannot_be_answered_are_refused(
    model: Llama, tokenizer: Tokenizer, make: Callable[..., Engine]
) -> None:
    for ask in (Request(prompt=[], max_tokens=3), Request(prompt=[1], max_tokens=0)):
        with pytest.raises(ValueError, match="request 0"):
            make(model, tokenizer).generate([ask])


def test_streams_are_uniform_and_apart() -> None:
    keys = np.array([stream_key(seed, sample) for seed in range(50) for sample in range(20)], dtype=np.uint64)
    assert len(set(keys.tolist())) == len(keys)
    draws = np.stack([uniforms(keys, position) for position in range(100)])
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 5 / math.sqrt(12 * draws.size)
    neighbours = np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / math.sqrt(draws.size)
