"""The compiled engine against the plain one: same tokens, same log-probabilities, and no sample depends on the others."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from octothinker import native
from octothinker.config import ModelConfig
from octothinker.model import hf
from octothinker.model.compiled import PAGE, Decoder, Pages, fits
from octothinker.model.engine import Completion, Engine, Request, stream_key, uniforms
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer

needs_library = pytest.mark.skipif(native.library() is None, reason="the compiled operators were not built here")
pytestmark = needs_library
DTYPES = (torch.float32, torch.bfloat16)


def prompts(vocab: int, lengths: list[int], seed: int = 0) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(1, vocab, n).tolist() for n in lengths]


def run(decoder: Decoder, sequences: list[list[int]]) -> list[torch.Tensor]:
    """Logits (T, V) of whole sequences of different lengths, in one call."""
    pages = Pages(decoder.page_bytes, [])
    table = np.zeros((len(sequences), -(-max(map(len, sequences)) // PAGE)), np.int64)
    for line, tokens in zip(table, sequences, strict=True):
        line[: -(-len(tokens) // PAGE)] = [pages.take() for _ in range(-(-len(tokens) // PAGE))]
    lengths = [len(tokens) for tokens in sequences]
    rows = (
        np.concatenate(sequences),
        np.concatenate([np.arange(n) for n in lengths]),
        np.repeat(np.arange(len(lengths)), lengths),
    )
    logits = decoder.logits(*(a.astype(np.int32) for a in rows), table)
    return list(torch.from_numpy(logits).split(lengths))


def decoder_of(model: Llama, dtype: torch.dtype) -> Decoder:
    decoder = Decoder(model.config, dtype)
    decoder.load(model.state_dict())
    return decoder


def tokens_of(groups: list[list[Completion]]) -> list[list[int]]:
    return [done.tokens for group in groups for done in group]


def logprobs_of(model: Llama, asks: list[Request], groups: list[list[Completion]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities that the engine gave, and the fp32 model's for the same tokens."""
    given_, wanted = [], []
    for ask, group in zip(asks, groups, strict=True):
        for done in group:
            with torch.no_grad():
                logits = model(torch.tensor([ask.prompt + done.tokens]))[0, len(ask.prompt) - 1 : -1]
            wanted.append((logits / (ask.temperature or 1)).log_softmax(-1)[range(len(done.tokens)), done.tokens])
            given_.append(torch.tensor(done.logprobs))
    return torch.cat(given_), torch.cat(wanted)


def same_but_for_ties(model: Llama, ask: Request, one: list[Completion], other: list[Completion]) -> bool:
    """Whether the samples are the same. Where one parts from the other, its random number must lie at the very border of two
    tokens (or the two best be as good as each other): logits differ by rounding."""
    for sample, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.tokens == b.tokens:
            continue
        at = next(i for i, (x, y) in enumerate(zip(a.tokens, b.tokens, strict=False)) if x != y)
        with torch.no_grad():
            logits = model(torch.tensor([ask.prompt + a.tokens[:at]]))[0, -1].double()
        if ask.temperature == 0:
            assert abs(float(logits[a.tokens[at]] - logits[b.tokens[at]])) < 1e-4
        else:
            cumulative = (logits / ask.temperature).softmax(-1).cumsum(-1)
            point = uniforms(np.array([stream_key(ask.seed, sample)], np.uint64), at)[0]
            assert abs(float(cumulative[min(a.tokens[at], b.tokens[at])]) - point) < 1e-5
        return False
    return True


# ---- the four families --------------------------------------------------------------------------------------------------


def test_logits_are_the_models(tiny: tuple[Path, Any]) -> None:
    model = hf.load_model(tiny[0])
    sequences = prompts(320, [1, 7, 16, 17, 40, 33])
    decoders = {dtype: decoder_of(model, dtype) for dtype in DTYPES}
    with torch.no_grad():
        wanted = [model(torch.tensor([tokens]))[0] for tokens in sequences]
        model.bfloat16()
        plain = [model(torch.tensor([tokens]))[0].float() for tokens in sequences]
    gap, rounded, allowed = (
        torch.cat([(a - b).abs() for a, b in zip(one, wanted, strict=True)])
        for one in (run(decoders[torch.float32], sequences), run(decoders[torch.bfloat16], sequences), plain)
    )
    assert gap.max() < 1e-4
    # Weights, keys and values are rounded, the rest is fp32: nearer to the fp32 model than PyTorch's bf16.
    assert rounded.mean() < 0.9 * allowed.mean() and rounded.max() < 1.2 * allowed.max()


def test_compiled_samples_are_the_plain_ones(tiny: tuple[Path, Any], tiny_tokenizer: Tokenizer) -> None:
    """fp32: the same tokens for the same seed, greedy and sampled, over 64 tokens."""
    model = hf.load_model(tiny[0])
    asks = [
        Request(prompt=p, max_tokens=64, n=1 if t == 0 else 4, temperature=t, seed=i)
        for t in (0.0, 1.0, 0.7)
        for i, p in enumerate(prompts(320, [3, 21, 16]))
    ]
    plain = Engine(model, tiny_tokenizer, compiled=False).generate(asks)
    ours = Engine(model, tiny_tokenizer, compiled=True).generate(asks)
    same = [same_but_for_ties(model, ask, *pair) for ask, *pair in zip(asks, plain, ours, strict=True)]
    assert sum(same) >= len(same) - 1
    assert max(map(len, tokens_of(ours))) == 64
    got, wanted = logprobs_of(model, asks, ours)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


def test_bf16_logprobs_are_as_near_as_plain_bf16s(tiny: tuple[Path, Any], tiny_tokenizer: Tokenizer) -> None:
    model = hf.load_model(tiny[0])
    asks = [Request(prompt=p, max_tokens=32, n=4, seed=i) for i, p in enumerate(prompts(320, [3, 21, 16]))]
    gaps = []
    for compiled in (True, False):
        groups = Engine(model, tiny_tokenizer, dtype=torch.bfloat16, compiled=compiled).generate(asks)
        got, wanted = logprobs_of(model, asks, groups)
        gaps.append((got - wanted).abs())
    assert gaps[0].mean() < gaps[1].mean() < 0.1 and gaps[0].max() < 0.5


@pytest.mark.slow
def test_smollm2(smollm2_folder: Path) -> None:
    model, tokenizer = hf.load_model(smollm2_folder), Tokenizer.load(smollm2_folder)
    text = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
    asks = [
        Request(prompt=tokenizer.encode("The capital of France is"), max_tokens=64, temperature=0.0),
        Request(prompt=tokenizer.encode(text), max_tokens=24, n=2, seed=4),
    ]
    ours = Engine(model, tokenizer, compiled=True).generate(asks)
    plain = Engine(model, tokenizer, compiled=False).generate(asks)
    for ask, *pair in zip(asks, plain, ours, strict=True):
        same_but_for_ties(model, ask, *pair)
    got, wanted = logprobs_of(model, asks, ours)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)
    half = Engine(model, tokenizer, dtype=torch.bfloat16, compiled=True).generate(asks)
    got, wanted = logprobs_of(model, asks, half)
    assert (got - wanted).abs().mean() < 0.03 and (got - wanted).abs().max() < 0.3
    assert half[0][0].text.startswith(" Paris")


# ---- independence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_is_the_same_in_any_batch(
    tiny: tuple[Path, Any], tiny_tokenizer: Tokenizer, dtype: torch.dtype
) -> None:
    """To the last bit, in bf16 too: alone, refilled two at a time, all together, backwards, on two threads."""
    model = hf.load_model(tiny[0])
    asks = [
        Request(prompt=p, max_tokens=10 + 7 * i, n=3, seed=i) for i, p in enumerate(prompts(320, [1, 5, 16, 17, 30]))
    ]

    def given_by(groups: list[list[Completion]]) -> list[list[tuple[list[int], list[float]]]]:
        return [[(done.tokens, done.logprobs) for done in group] for group in groups]

    engine = Engine(model, tiny_tokenizer, batch=64, dtype=dtype, compiled=True)
    together = given_by(engine.generate(asks))
    assert given_by([engine.generate([ask])[0] for ask in asks]) == together
    assert given_by(engine.generate(asks[::-1])[::-1]) == together
    engine.batch = 2
    assert given_by(engine.generate(asks)) == together
    torch.set_num_threads(2)
    try:
        assert given_by(engine.generate(asks[:3])) == together[:3]
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head_dim", [8, 16, 80])
@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_ragged_rows(dtype: torch.dtype, head_dim: int, lengths: list[int], seed: int) -> None:
    """Any mix of lengths: each sequence's logits are, bit for bit, those it has alone."""
    config = ModelConfig(
        vocab_size=70,
        hidden_size=48,
        intermediate_size=80,
        num_layers=2,
        num_heads=10,
        num_kv_heads=2,
        head_dim=head_dim,
    )
    model = Llama(config)
    model.init_weights(seed)
    decoder = decoder_of(model, dtype)
    sequences = prompts(70, lengths, seed)
    together = run(decoder, sequences)
    for i in (0, len(lengths) // 2, -1):
        assert torch.equal(run(decoder, [sequences[i]])[0], together[i])
        with torch.no_grad():
            wanted = model(torch.tensor([sequences[i]]))[0]
        torch.testing.assert_close(together[i], wanted, atol=1e-4 if dtype == torch.float32 else 0.05, rtol=0)


# ---- scheduling -----------------------------------------------------------------------------------------------------------


def test_prompts_that_begin_alike_are_run_once(
    tiny: tuple[Path, Any], tiny_tokenizer: Tokenizer, monkeypatch: Any
) -> None:
    """Whole pages of a common beginning are filled once, for as long as they are remembered; the samples are the same."""
    model = hf.load_model(tiny[0])
    shots, *ends = prompts(320, [37, 3, 20, 9, 1])
    asks = [Request(prompt=shots + end, max_tokens=12, n=2, seed=i) for i, end in enumerate(ends)]
    filled: list[int] = []
    fill = Decoder.fill
    monkeypatch.setattr(
        Decoder, "fill", lambda self, tokens, *a: (filled.append(len(tokens)), fill(self, tokens, *a))[1]
    )
    alone = [Engine(model, tiny_tokenizer, compiled=True).generate([ask])[0] for ask in asks]
    assert filled == [39, 56, 45, 37]
    for batch in (64, 1):
        filled.clear()
        assert Engine(model, tiny_tokenizer, batch=batch, compiled=True).generate(asks) == alone
        assert sum(filled) == sum([39, 56, 45, 37]) - 3 * 32


def test_pages_come_back() -> None:
    pages = Pages(1 << 20, [])
    tokens = np.arange(40, dtype=np.int32)
    first, known = pages.prompt(tokens)
    assert (len(first), known) == (3, 0)
    second, known = pages.prompt(tokens)
    assert (second[:2], known) == (first[:2], 32) and second[2] != first[2]
    for page in first + second:
        pages.drop(page)
    assert not pages.users
    again, known = pages.prompt(tokens)
    assert (again[:2], known) == (first[:2], 32)  # remembered
    taken = [pages.take() for _ in range(64)]
    assert len(set(taken)) == 64 and not set(taken) & set(again)
    for page in again:
        pages.drop(page)
    for _ in range(64):
        pages.take()
    assert pages.prompt(tokens)[1] == 0  # handed out since
    other, known = pages.prompt(tokens[1:])
    assert known == 0 and not set(other) & set(taken)


def test_refill_keeps_order_and_memory(tiny_tokenizer: Tokenizer, make_tiny: Any, tmp_path: Path) -> None:
    make_tiny("smollm2").save_pretrained(tmp_path)
    engine = Engine(hf.load_model(tmp_path), tiny_tokenizer, batch=3, compiled=True)
    asks = [Request(prompt=[5 + i], max_tokens=1 + i % 5, n=1 + i % 3, seed=i) for i in range(20)]
    calls: list[tuple[int, int]] = []
    groups = engine.generate(asks, lambda tokens, samples: calls.append((tokens, samples)))
    for i, (ask, group) in enumerate(zip(asks, groups, strict=True)):
        assert len(group) == ask.n, i
        for done in group:
            assert len(done.tokens) == ask.max_tokens or done.finish == "stop"
        assert [group] == engine.generate([ask])
    assert calls == sorted(calls) and calls[-1] == (sum(map(len, tokens_of(groups))), sum(ask.n for ask in asks))


def test_stop_strings(tiny: tuple[Path, Any], tiny_tokenizer: Tokenizer) -> None:
    """A sample ends with the first token that completes a stop string, wherever in the token it is; no other is touched."""
    engine = Engine(hf.load_model(tiny[0]), tiny_tokenizer, compiled=True)
    free = [Request(prompt=p, max_tokens=60, n=6, seed=i) for i, p in enumerate(prompts(256, [4, 9]))]
    whole = engine.generate(free)
    text = max((done.text for group in whole for done in group), key=len)
    ended = 0
    for stop in ((text[5:7],), (text[9], text[3:8]), ("é", "\n"), ("a ", "s"), ("\ufffd",)):
        asks = [Request(prompt=a.prompt, max_tokens=60, n=6, seed=a.seed, stop=stop) for a in free]
        for group, uncut in zip(engine.generate(asks), whole, strict=True):
            for done, long in zip(group, uncut, strict=True):
                texts = [tiny_tokenizer.decode(long.tokens[: n + 1]) for n in range(len(long.tokens))]
                n = next((n for n, text in enumerate(texts) if any(s in text for s in stop)), None)
                if n is None:
                    assert done == long
                else:
                    cut = min(texts[n].find(s) for s in stop if s in texts[n])
                    assert (done.tokens, done.text) == (long.tokens[: n + 1], texts[n][:cut]) and done.finish == "stop"
                    ended += 1
    assert ended > 5


# ---- sampling -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_token_frequencies_are_the_models_probabilities(
    make_tiny: Any, tiny_tokenizer: Tokenizer, tmp_path: Path, temperature: float
) -> None:
    """Chi-square of 40,000 draws after one prompt, in bf16, against the probabilities that it computes. A temperature that is
    10% off is found out."""
    make_tiny("llama3").save_pretrained(tmp_path)
    model = hf.load_model(tmp_path)
    n, prompt = 40_000, [7, 300, 12]
    engine = Engine(model, tiny_tokenizer, batch=4_000, dtype=torch.bfloat16, compiled=True)
    (group,) = engine.generate([Request(prompt=prompt, max_tokens=1, n=n, seed=3, temperature=temperature)])
    counts = np.bincount([done.tokens[0] for done in group], minlength=320)
    logits = run(decoder_of(model, torch.bfloat16), [prompt])[0][-1].double()

    def excess(temperature: float) -> float:
        """Chi-square, in standard deviations from what it is on average."""
        expected = n * (logits / temperature).softmax(-1).numpy()
        often = expected >= 5
        observed = np.append(counts[often], counts[~often].sum())
        wanted = np.append(expected[often], expected[~often].sum())
        freedom = len(wanted) - 1
        assert freedom > 20
        return float((((observed - wanted) ** 2 / wanted).sum() - freedom) / math.sqrt(2 * freedom))

    assert abs(excess(temperature)) < 4.5
    assert excess(temperature * 1.1) > 10 and excess(temperature / 1.1) > 10


def test_the_drawn_token_is_where_the_cumulative_passes(
    make_tiny: Any, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Against fp64: the same stream of numbers, the same inverse, log-probabilities to 1e-5."""
    make_tiny("smollm2").save_pretrained(tmp_path)
    model = hf.load_model(tmp_path)
    prompt = [9, 8, 7]
    logits = run(decoder_of(model, torch.float32), [prompt])[0][-1].double()
    cumulative = logits.softmax(-1).cumsum(-1).numpy()
    (group,) = Engine(model, tiny_tokenizer, compiled=True).generate(
        [Request(prompt=prompt, max_tokens=1, n=500, seed=1)]
    )
    for sample, done in enumerate(group):
        point = uniforms(np.array([stream_key(1, sample)], np.uint64), 0)[0] * cumulative[-1]
        token = done.tokens[0]
        assert token == int(np.searchsorted(cumulative, point, side="right"))
        assert done.logprobs[0] == pytest.approx(float(logits.log_softmax(-1)[token]), abs=1e-5)


# ---- which path -----------------------------------------------------------------------------------------------------------


def test_new_weights_are_used(tiny: tuple[Path, Any], tiny_tokenizer: Tokenizer) -> None:
    """bf16 or fp32 states; after `load_weights` nothing of the old weights is left."""
    model = hf.load_model(tiny[0])
    ask = Request(prompt=[5, 6, 7], max_tokens=16, n=3)
    engine = Engine(model, tiny_tokenizer, dtype=torch.bfloat16, compiled=True)
    before = engine.generate([ask])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1 if parameter.ndim == 1 else 0.7).copy_(parameter.bfloat16())
    engine.load_weights(model.state_dict())
    after = engine.generate([ask])
    assert after == Engine(model, tiny_tokenizer, dtype=torch.bfloat16, compiled=True).generate([ask]) != before
    matrices = {k: v.bfloat16() if v.ndim > 1 else v for k, v in model.state_dict().items()}
    engine.load_weights(matrices)
    assert engine.generate([ask]) == after


def test_without_the_library_the_plain_path_runs() -> None:
    code = """
import os, torch
from octothinker import native
from octothinker.config import ModelConfig
from octothinker.model.engine import Engine, Request
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import train_tokenizer
assert native.library() is None
tokenizer = train_tokenizer(["abc"], 257)
model = Llama(ModelConfig(vocab_size=tokenizer.vocab_size, hidden_size=32, intermediate_size=32, num_layers=1,
                          num_heads=2, num_kv_heads=1, head_dim=16))
engine = Engine(model, tokenizer)
assert engine.decoder is None and len(engine.generate([Request(prompt=[3], max_tokens=2)])[0]) == 1
try:
    Engine(model, tokenizer, compiled=True)
except RuntimeError as error:
    assert "switched off" in str(error)
else:
    raise AssertionError("compiled operators that are not there were promised")
"""
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "OCTO_NATIVE": "0"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_shapes_that_do_not_fit_take_the_plain_path(tiny_tokenizer: Tokenizer) -> None:
    config = ModelConfig(
        vocab_size=320, hidden_size=40, intermediate_size=64, num_layers=1, num_heads=4, num_kv_heads=2, head_dim=8
    )
    assert not fits(config, torch.float32)
    assert Engine(Llama(config), tiny_tokenizer).decoder is None
