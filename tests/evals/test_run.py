"""The evaluation loop: nothing lost over a kill, nothing counted twice, one protocol whatever the chunks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from octothinker.config import Eval, ModelConfig
from octothinker.evals import run
from octothinker.evals.run import EvalItem, EvalRun, eval_items, eval_stage, evaluate
from octothinker.grade.verdict import Verdict
from octothinker.model.engine import Completion, Request
from octothinker.model.hf import save_model
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import train_tokenizer
from octothinker.records import read_json, read_jsonl
from octothinker.typed import ConfigError


class Letters:
    """A tokenizer with one token a character."""

    bos_id = None
    hash = "letters"

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class Engine:
    """Answers by a function of (prompt, seed, sample); dies at the given call."""

    def __init__(self, answer: Callable[[str, int, int], str], dies_at: int = 0) -> None:
        self.answer, self.dies_at = answer, dies_at
        self.calls: list[list[Request]] = []

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        self.calls.append(requests)
        if len(self.calls) == self.dies_at:
            raise KeyboardInterrupt
        return [[self.complete(ask, i) for i in range(ask.n)] for ask in requests]

    def complete(self, ask: Request, sample: int) -> Completion:
        text = self.answer("".join(map(chr, ask.prompt)), 0 if ask.temperature == 0 else ask.seed, sample)
        return Completion(
            tokens=[1] * len(text), logprobs=[], finish="length" if text.endswith("…") else "stop", text=text
        )


def items(n: int, name: str = "sums") -> list[EvalItem]:
    rows = [
        {"id": f"{name}-{i}", "question": f"{'+' * (i % 5)}{i}+1?", "answer": str(i + 1), "level": str(i % 2)}
        for i in range(n)
    ]
    return eval_items(name, rows, CONFIG)


CONFIG = Eval(problems=("sums",), samples=4, batch=8, pass_k=(1, 2, 8), max_tokens=50)


def half_right(prompt: str, seed: int, sample: int) -> str:
    """The greedy answer is right for even numbers; the sampled ones depend on seed and sample alone."""
    number = int(prompt.removeprefix("Question:").lstrip("+").split("+")[0])
    right = number % 2 == 0 if seed == 0 else (seed >> sample) % 2 == 0
    return f"\\boxed{{{number + 1 if right else -1}}}"


def measure(
    out: Path, engine: Engine, sets: dict[str, list[EvalItem]], config: Eval = CONFIG, seed: int = 3
) -> dict[str, Any]:
    return evaluate(engine, Letters(), sets, config, out, seed)  # type: ignore[arg-type]


def test_samples_and_results(tmp_path: Path) -> None:
    result = measure(tmp_path, Engine(half_right), {"sums": items(6)})
    rows = read_jsonl(tmp_path / "samples.jsonl")
    assert [(r["id"], r["mode"], r["sample"]) for r in rows[:6]] == [
        ("sums-0", "greedy", 0), *(("sums-0", "sampled", i) for i in range(4)), ("sums-1", "greedy", 0),
    ]  # fmt: skip
    assert len(rows) == 6 * 5
    assert rows[0] == {
        "set": "sums", "id": "sums-0", "level": "0", "question": "0+1?", "gold": "1", "mode": "greedy", "sample": 0,
        "response": "\\boxed{1}", "tokens": 9, "finish": "stop", "correct": True, "kind": "equal", "extracted": "1",
        "boxed": True,
    }  # fmt: skip
    results = read_json(tmp_path / "results.json")
    sums = results["sets"]["sums"]
    assert (sums["n"], sums["greedy"]["accuracy"], sums["greedy"]["graded"], sums["sampled"]["graded"]) == (
        6,
        0.5,
        6,
        24,
    )
    assert sums["by_level"]["0"]["greedy"]["accuracy"] == 1.0
    assert list(sums["pass_at_k"]) == ["1", "2"], "pass@8 cannot be had from 4 samples"
    assert sums["pass_at_k"]["1"][0] == pytest.approx(sums["sampled"]["accuracy"])
    assert results["protocol"]["samples"] == 4
    assert results["protocol"]["seed"] == 3
    assert result == {"sets": {"sums": {"n": 6, "greedy": 0.5, "sampled": sums["sampled"]["accuracy"], "boxed": 1.0}}}
    assert not (tmp_path / "chunks").exists()
    progress = read_json(tmp_path / "progress.json")
    assert (progress["done"], progress["total"], progress["unit"]) == (30, 30, "answers")


def test_greedy_alone(tmp_path: Path) -> None:
    engine = Engine(half_right)
    result = measure(tmp_path, engine, {"sums": items(6)}, replace(CONFIG, samples=0))
    assert result["sets"]["sums"] == {"n": 6, "greedy": 0.5, "sampled": None, "boxed": 1.0}
    assert all(ask.temperature == 0 and ask.n == 1 for call in engine.calls for ask in call)
    assert read_json(tmp_path / "results.json")["sets"]["sums"]["pass_at_k"] == {}


@pytest.mark.parametrize("dies_at", [1, 2, 4, 7])
def test_a_killed_evaluation_goes_on_and_ends_the_same(tmp_path: Path, dies_at: int) -> None:
    sets = {"sums": items(9), "more": items(5, "more")}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    engine = Engine(half_right)
    measure(whole, engine, sets)
    assert len(engine.calls) > 7, "or the later kills are none"
    first = Engine(half_right, dies_at)
    with pytest.raises(KeyboardInterrupt):
        measure(killed, first, sets)
    assert not (killed / "results.json").exists()
    second = Engine(half_right)
    measure(killed, second, sets)
    assert len(second.calls) == len(engine.calls) - (dies_at - 1), "what was answered is not asked again"
    for name in ("samples.jsonl", "results.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_a_resume_may_use_another_batch_but_not_another_protocol(tmp_path: Path) -> None:
    sets = {"sums": items(9)}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, Engine(half_right, 3), sets)
    for other in (replace(CONFIG, temperature=0.5), replace(CONFIG, samples=3), replace(CONFIG, answer="benchmark")):
        with pytest.raises(ConfigError, match="another protocol"):
            measure(tmp_path, Engine(half_right), sets, other)
    with pytest.raises(ConfigError, match="another protocol"):
        measure(tmp_path, Engine(half_right), sets, seed=4)
    with pytest.raises(ConfigError, match="another protocol"):
        measure(tmp_path, Engine(half_right), {"sums": items(8)})
    measure(tmp_path, Engine(half_right), sets, replace(CONFIG, batch=3))
    measure(tmp_path / "whole", Engine(half_right), sets)
    assert (tmp_path / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()


def test_a_sample_depends_on_its_problem_and_the_seed_alone(tmp_path: Path) -> None:
    measure(tmp_path / "a", Engine(half_right), {"sums": items(12)})
    measure(tmp_path / "b", Engine(half_right), {"sums": items(7)}, replace(CONFIG, batch=100))
    few = (tmp_path / "b" / "samples.jsonl").read_text()
    assert (tmp_path / "a" / "samples.jsonl").read_text().startswith(few)
    measure(tmp_path / "c", Engine(half_right), {"sums": items(7)}, seed=4)
    assert (tmp_path / "c" / "samples.jsonl").read_text() != few


def test_no_two_problems_share_a_random_stream() -> None:
    seeds = set()
    for seed in (0, 1):
        for name in ("a", "b"):
            seeds |= {run.sample_seed(seed, run.Ask(name, item, "sampled", (), 1)) for item in items(50)}
    assert len(seeds) == 200
    assert max(seeds) < 2**63


def test_chunks_hold_one_batch_of_like_lengths_longest_first(tmp_path: Path) -> None:
    engine = Engine(half_right)
    measure(tmp_path, engine, {"sums": items(9)})
    sizes = [sum(ask.n for ask in call) for call in engine.calls]
    assert max(sizes) == 8
    sampled = [len(ask.prompt) for call in engine.calls for ask in call if ask.n == 4]
    assert sampled == sorted(sampled, reverse=True)


def test_every_answer_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gold that cannot be graded, and an answer that is lost: the one is counted apart, the other is an error."""
    sets = {"sums": [*items(2), replace(items(3)[2], gold="{")]}
    measure(tmp_path / "a", Engine(half_right), sets)
    greedy = read_json(tmp_path / "a" / "results.json")["sets"]["sums"]["greedy"]
    assert (greedy["graded"], greedy["kinds"]["bad_gold"], greedy["accuracy"]) == (2, 1, 0.5)

    class Odd:
        def grade(self, items: list[Any]) -> list[Verdict]:
            return [Verdict(None, "different", None)] * len(items)

    with pytest.raises(RuntimeError, match="15 answers expected, 15 there: 0 graded, 0 not gradable"):
        evaluate(Engine(half_right), Letters(), sets, CONFIG, tmp_path / "b", 0, Odd())  # type: ignore[arg-type]


def test_equal_ids_and_no_problems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="same id"):
        measure(tmp_path, Engine(half_right), {"sums": items(2) + items(1)})
    with pytest.raises(ConfigError, match="no problems"):
        measure(tmp_path, Engine(half_right), {"sums": []})


@pytest.mark.parametrize(
    ("response", "kind", "extracted"),
    [
        (" 3 + 4 = 7. The answer is 7.\n\nQ: And?\nA: The answer is 8.", "equal", "7"),
        (" So 7.\nQuestion: 9?", "equal", "7"),
        (" 1 and 7 …", "truncated", None),
        (" 1 and 7\nProblem: 9 …", "equal", "7"),  # it had finished before it ran on
        (" The answer is 8.", "different", "8"),
    ],
)
def test_the_benchmarks_rule_reads_no_further_than_the_answer(
    tmp_path: Path, response: str, kind: str, extracted: str | None
) -> None:
    config = Eval(problems=("gsm8k",), samples=0, template="few_shot", answer="benchmark")
    row = {"id": "1", "question": "3+4?", "answer": "7", "level": ""}
    measure(tmp_path, Engine(lambda *_: response), {"gsm8k": eval_items("gsm8k", [row], config)}, config)
    (sample,) = read_jsonl(tmp_path / "samples.jsonl")
    assert (sample["kind"], sample["extracted"]) == (kind, extracted)
    assert sample["response"] == response, "what is kept is what was written"


def test_the_stage_on_a_real_model(tmp_path: Path) -> None:
    """From files to files; the same again with another batch, in fp32."""
    tokenizer = train_tokenizer(["Question:What is 1+1?\nAnswer: \\boxed{2}"] * 20, 300)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2, num_kv_heads=1,
        head_dim=16,
    )  # fmt: skip
    model = Llama(config)
    torch.manual_seed(0)
    model.init_weights(0)
    save_model(tmp_path / "rl" / "model", model, tokenizer)
    rows = [{"id": str(i), "question": f"What is {i}+1?", "answer": str(i + 1), "level": "1"} for i in range(5)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Eval(problems=("sums",), samples=2, max_tokens=6, limit=4, precision="fp32", pass_k=(1, 2))
    inputs = {"model": tmp_path / "rl", "problems.sums": tmp_path}
    results = []
    for batch in (64, 3):
        out = tmp_path / str(batch)
        out.mkdir()
        results.append(eval_stage(EvalRun(eval=replace(settings, batch=batch), seed=1), inputs, out))
    assert results[0] == results[1]
    assert results[0]["sets"]["sums"]["n"] == 4
    assert (tmp_path / "64" / "samples.jsonl").read_bytes() == (tmp_path / "3" / "samples.jsonl").read_bytes()
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match=r"no input problems\.sums"):
        eval_stage(EvalRun(eval=settings), {"model": tmp_path / "rl"}, tmp_path / "x")


def test_small_sets_get_more_samples_and_every_prompt_is_kept(tmp_path: Path) -> None:
    sets = {"few": items(5, "few"), "many": items(101, "many")}
    measure(tmp_path, Engine(half_right), sets, replace(CONFIG, samples=1, samples_small=16, pass_k=(1, 16)))
    results = read_json(tmp_path / "results.json")["sets"]
    assert (results["few"]["sampled"]["samples"], results["many"]["sampled"]["samples"]) == (16, 1)
    assert list(results["few"]["pass_at_k"]) == list(results["few"]["maj_at_k"]) == ["1", "16"]
    assert list(results["many"]["pass_at_k"]) == ["1"]
    assert run._samples("amc23", 5, Eval(problems=(), samples=1, samples_small=16)) == 16
    assert run._samples("gsm8k", 5, Eval(problems=(), samples=1, samples_small=16)) == 1, "a limit makes no small set"
    prompts = read_jsonl(tmp_path / "prompts.jsonl")
    assert len(prompts) == 106
    assert prompts[0] == {"set": "few", "id": "few-0", "prompt": "Question:0+1?\nAnswer:"}


def test_few_shot_answers_carry_the_papers_verdict(tmp_path: Path) -> None:
    config = Eval(problems=("gsm8k",), samples=0, template="few_shot", answer="benchmark")
    row = {"id": "1", "question": "800+800?", "answer": "1600", "level": ""}
    measure(tmp_path, Engine(lambda *_: " The answer is 1,600."), {"gsm8k": eval_items("gsm8k", [row], config)}, config)
    (sample,) = read_jsonl(tmp_path / "samples.jsonl")
    assert (sample["correct"], sample["paper"]) == (True, False)
    greedy = read_json(tmp_path / "results.json")["sets"]["gsm8k"]["greedy"]
    assert (greedy["accuracy"], greedy["paper"][0]) == (1.0, 0.0)
