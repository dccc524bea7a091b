"""Batches as a pure function of the step: shares, ranks, epochs, packing."""

from __future__ import annotations

import hashlib
import math
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from octothinker.data.mixture import IGNORED, Batch, Mixture, blend, explain_difference
from octothinker.typed import ConfigError


class Memory:
    """Shards without a disk."""

    tokenizer = "t"

    def __init__(self, documents: list[list[int]]) -> None:
        self._documents = [np.array(document, np.uint16) for document in documents]
        self.documents, self.tokens = len(documents), sum(map(len, documents))
        self.ends = np.array(list(accumulate(map(len, documents))), np.int64)
        self.sha256 = hashlib.sha256(repr(documents).encode()).hexdigest()

    def document(self, index: int) -> np.ndarray:
        return self._documents[index]


def numbered(lengths: list[int], first: int = 0) -> Memory:
    """Documents whose tokens say where they are from: document * 100 + place; no two tokens are alike."""
    return Memory([[first + 100 * d + place for place in range(n)] for d, n in enumerate(lengths)])


def mix(shards: Memory, seq_len: int, batch_size: int = 1, seed: int | str = 0) -> Mixture:
    return Mixture({"a": shards}, {"a": 1.0}, seq_len, batch_size, seed)  # type: ignore[dict-item]


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("inputs", "targets", "segments"))


# --- packing ----------------------------------------------------------------------------------------------------------


def test_packing_by_hand() -> None:
    """Three documents of 3, 2 and 5 tokens, eos 0, in rows of 4. This seed's order is A B C, then C first.

    stream   10 11  0 20 |  0 30 31 32 | 33  0 30 31 | 32 …
    document  A  A  A  B |  B  C  C  C |  C  C  C' C'| C'
    """
    mixture = mix(Memory([[10, 11, 0], [20, 0], [30, 31, 32, 33, 0]]), seq_len=4, batch_size=3, seed=39)
    batch = mixture.batch(0)
    x = IGNORED
    assert batch.inputs.tolist() == [[10, 11, 0, 20], [0, 30, 31, 32], [33, 0, 30, 31]]
    assert batch.targets.tolist() == [[11, 0, x, 0], [x, 31, 32, 33], [0, x, 31, 32]]
    # C follows C across the border of the epochs, and is another document all the same
    assert batch.segments.tolist() == [[0, 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert {t.dtype for t in (batch.inputs, batch.targets, batch.segments)} == {torch.int64}


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@settings(deadline=None)
@given(lengths, st.integers(1, 40), st.integers(1, 4), st.integers(0, 9))
def test_rows_are_the_stream_cut_up_and_each_epoch_has_each_document_once(
    lengths: list[int], seq_len: int, batch_size: int, seed: int
) -> None:
    shards = numbered(lengths)
    mixture = mix(shards, seq_len, batch_size, seed)
    steps = -(-3 * shards.tokens // (seq_len * batch_size))  # three epochs and a bit
    batches = [mixture.batch(step) for step in range(steps)]
    stream = torch.cat([batch.inputs.flatten() for batch in batches]).tolist()
    for epoch in range(3):
        tokens = stream[epoch * shards.tokens : (epoch + 1) * shards.tokens]
        starts = [i for i, token in enumerate(tokens) if token % 100 == 0]
        order = [tokens[i] // 100 for i in starts]
        assert sorted(order) == list(range(shards.documents))  # each document once
        assert tokens == [100 * d + place for d in order for place in range(lengths[d])]  # and whole
    for batch in batches:
        for inputs, targets, segments in zip(*(t.tolist() for t in vars(batch).values()), strict=True):
            for t, (token, target) in enumerate(zip(inputs, targets, strict=True)):
                last = token % 100 == lengths[token // 100] - 1
                assert target == (IGNORED if last else token + 1)
                begins = t > 0 and token % 100 == 0
                assert segments[t] == (segments[t - 1] + begins if t else 0)
    assert mixture.epochs(steps)["a"] == pytest.approx(len(stream) / shards.tokens)


def test_each_epoch_seed_and_source_has_a_shuffle_of_its_own() -> None:
    shards = numbered([1] * 60)

    def order(name: str = "a", seed: int | str = 0, epoch: int = 0) -> tuple[int, ...]:
        mixture = Mixture({name: shards}, {name: 1.0}, 60, 1, seed)  # type: ignore[dict-item]
        return tuple(mixture.batch(epoch).inputs[0].tolist())

    orders = [order(), order(epoch=1), order(epoch=2), order(seed=1), order(seed="0.decay"), order("b")]
    assert len(set(orders)) == len(orders)
    assert tuple(sorted(orders[0])) not in orders
    assert order() == orders[0]


def test_the_shuffle_stays_the_same_from_version_to_version() -> None:
    """A golden order: were it to change, a resumed run would see documents twice and others never. Raise VERSION then."""
    assert [token // 100 for token in mix(numbered([1] * 8), 8).batch(0).inputs[0].tolist()] == GOLDEN


GOLDEN = [6, 1, 2, 5, 4, 7, 3, 0]


def test_a_source_shorter_than_a_row_repeats() -> None:
    mixture = mix(numbered([2, 1]), seq_len=10, batch_size=2)
    batch = mixture.batch(7)
    assert sorted(set(batch.inputs.flatten().tolist())) == [0, 1, 100]
    assert mixture.epochs(3) == {"a": 20.0}
    assert batch.segments[0, -1] >= 6  # 10 tokens are at least 3 epochs of 2 documents


# --- purity -----------------------------------------------------------------------------------------------------------


def three(seq_len: int, batch_size: int, seed: int = 3) -> Mixture:
    shards = {"a": numbered([7, 3, 9, 4]), "b": numbered([5] * 9, 10_000), "c": numbered([40, 2], 20_000)}
    return Mixture(shards, {"a": 0.5, "b": 0.3, "c": 0.2}, seq_len, batch_size, seed)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 7))
def test_a_batch_depends_on_its_step_only(steps: list[int], seq_len: int, batch_size: int) -> None:
    """Whatever was asked before, and however long ago: resuming is one integer."""
    used = three(seq_len, batch_size)
    for step in steps:
        assert equal(used.batch(step), three(seq_len, batch_size).batch(step))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 500), st.integers(1, 12), st.integers(1, 5))
def test_any_number_of_ranks_sees_the_same_global_batch(step: int, batch_size: int, world: int) -> None:
    mixture, whole = three(16, batch_size), three(16, batch_size).batch(step)
    for rank in range(world):
        part = mixture.batch(step, rank, world)
        assert equal(part, Batch(*(t[rank::world] for t in vars(whole).values())))


def test_a_batch_that_does_not_exist() -> None:
    for arguments in [(-1, 0, 1), (0, 2, 2), (0, -1, 2)]:
        with pytest.raises(ConfigError, match="no batch of step"):
            three(4, 2).batch(*arguments)


# --- shares -----------------------------------------------------------------------------------------------------------


def worst(order: np.ndarray, weights: list[float], rows: int) -> float:
    """Largest distance between rows drawn and their share, over all prefixes of the repeated order."""
    order = np.resize(order, rows)
    drawn = (order[:, None] == np.arange(len(weights))).cumsum(0)
    return float(np.abs(drawn - np.arange(1, rows + 1)[:, None] * np.array(weights)).max())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=9))
def test_every_prefix_is_within_one_row_of_every_share(parts: list[int]) -> None:
    weights = [part / sum(parts) for part in parts]
    order = blend(weights)
    assert sum(parts) % len(order) == 0
    assert worst(order, weights, 3 * sum(parts)) < 1
    assert np.bincount(order, minlength=len(parts)).tolist() == [part * len(order) // sum(parts) for part in parts]


@pytest.mark.parametrize("parts", [[1, 20, 233, 242], [1, 1, 1, 3, 11, 11]])
def test_drawing_the_source_that_lags_most_would_not_do(parts: list[int]) -> None:
    """The usual greedy blending passes the test above only where it is easy."""
    weights = np.array(parts) / sum(parts)
    greedy, drawn = [], np.zeros(len(parts))
    for row in range(1, sum(parts) + 1):
        greedy.append(int(np.argmax(weights * row - drawn)))
        drawn[greedy[-1]] += 1
    assert worst(np.array(greedy), list(weights), sum(parts)) > 1
    assert worst(blend(list(weights)), list(weights), sum(parts)) < 1


def test_the_papers_stable_mixture_is_exact() -> None:
    assert np.bincount(blend([0.725, 0.10, 0.10, 0.0125, 0.0125, 0.05])).tolist() == [58, 8, 8, 1, 1, 4]


def test_shares_of_many_decimals_are_rounded() -> None:
    weights = [1 / math.pi, 1 / math.e, 1 - 1 / math.pi - 1 / math.e]
    assert np.bincount(blend(weights)).tolist() == [31_831, 36_788, 31_381]
    assert worst(blend(weights), weights, 20_000) < 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(1, 40), st.integers(1, 60))
def test_realised_shares_and_epochs_are_those_of_the_batches(raw: list[float], batch_size: int, steps: int) -> None:
    parts = [round(100 * x / sum(raw)) for x in raw]
    assume(sum(parts) == 100)
    weights = {f"s{i}": part / 100 for i, part in enumerate(parts)}
    shards = {name: numbered([2, 3], 1000 * i) for i, name in enumerate(weights)}
    mixture = Mixture(shards, weights, 2, batch_size, 0)  # type: ignore[arg-type]
    drawn = torch.cat([mixture.batch(step).inputs for step in range(steps)])[:, 0] // 1000
    for i, (name, weight) in enumerate(weights.items()):
        rows = int((drawn == i).sum())
        assert mixture.shares(steps)[name] == rows / len(drawn)
        assert mixture.epochs(steps)[name] == pytest.approx(rows * 2 / 5)
        assert abs(rows - weight * len(drawn)) < 1
    assert [mixture.names[mixture._locate(row)[0]] for row in range(len(drawn))] == [f"s{i}" for i in drawn.tolist()]
    assert mixture.shares(0) == dict.fromkeys(weights, 0.0)


def test_weight_zero_needs_no_shards_and_order_in_the_recipe_has_no_meaning() -> None:
    a, b = numbered([3, 4, 5]), numbered([6, 2], 1000)
    one = Mixture({"a": a, "b": b}, {"a": 0.75, "b": 0.25}, 8, 4, 0)  # type: ignore[dict-item]
    two = Mixture({"b": b, "a": a}, {"none": 0.0, "b": 0.25, "a": 0.75}, 8, 4, 0)  # type: ignore[dict-item]
    assert all(equal(one.batch(step), two.batch(step)) for step in range(5))
    assert two.shares(2) == {"a": 0.75, "b": 0.25, "none": 0.0}
    assert two.epochs(2)["none"] == 0
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 0.5, "b": 0.4}, "sum to 1"),
        ({"a": 1.5, "b": -0.5}, "0 or more"),
        ({}, "0 or more"),
        ({"a": 0.5, "c": 0.5}, "no shards of 'c'"),
        ({"a": 1 - 1e-6, "b": 1e-6}, "a share of 1e-06 is less than one row in 100000"),
    ],
)
def test_impossible_mixtures(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mixture({"a": numbered([1]), "b": numbered([2])}, weights, 4, 4, 0)  # type: ignore[dict-item]


def test_shards_of_two_tokenizers_do_not_mix() -> None:
    other = numbered([2])
    other.tokenizer = "u"
    with pytest.raises(ConfigError, match=r"different tokenizers: \{'a': 't', 'b': 'u'\}"):
        Mixture({"a": numbered([1]), "b": other}, {"a": 0.5, "b": 0.5}, 4, 4, 0)  # type: ignore[dict-item]


# --- fingerprint ------------------------------------------------------------------------------------------------------


def test_the_fingerprint_covers_whatever_changes_the_batches() -> None:
    def make(
        a: Memory | None = None, weight: float = 0.5, seq_len: int = 8, batch_size: int = 4, seed: int = 0
    ) -> Mixture:
        shards = {"a": a or numbered([3, 4, 5]), "b": numbered([6, 2], 1000)}
        return Mixture(shards, {"a": weight, "b": 1 - weight}, seq_len, batch_size, seed)  # type: ignore[arg-type]

    first = make()
    assert first.fingerprint == make().fingerprint
    assert explain_difference(first.plan, make().plan) == ""
    changes = {
        "sources.a.sha256: 8": make(a=numbered([3, 4, 6])),
        "sources.a.weight: 0.5 -> 0.25; sources.b.weight: 0.5 -> 0.75": make(weight=0.25),
        "seq_len: 8 -> 9": make(seq_len=9),
        "batch_size: 4 -> 5": make(batch_size=5),
        "seed: 0 -> 1": make(seed=1),
        "sources.b: present -> absent": make(weight=1.0),
    }
    assert len({mixture.fingerprint for mixture in [first, *changes.values()]}) == len(changes) + 1
    for said, mixture in changes.items():
        if "sha256" in said:
            explained = explain_difference(first.plan, mixture.plan)
            assert "sources.a.tokens: 12 -> 13" in explained
            assert "sources.a.sha256: " in explained
        else:
            assert said in explain_difference(first.plan, mixture.plan)
