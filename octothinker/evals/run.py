"""Measure a model: ask, answer, grade, count. The same protocol before and after RL.

    problems --template or exemplars--> prompts --engine, chunk by chunk--> responses --grade--> samples.jsonl, results.json

Every chunk of answers is written when it is graded; a killed evaluation goes on with what is not answered yet. A sample's
random stream depends on (seed, set, problem, number) alone, so neither chunks, batch size nor `limit` change it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from octothinker.config import Eval, Experiment
from octothinker.data.prompts import render
from octothinker.evals import benchmarks
from octothinker.evals.judge import Reading, judge, judge_as_paper
from octothinker.evals.metrics import summarise
from octothinker.grade.extract import boxed
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import VERSION
from octothinker.model.engine import Completion, Engine, Request
from octothinker.model.hf import load_model
from octothinker.model.server import Characters, Server
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import Progress, read_jsonl, write_json, write_text
from octothinker.typed import ConfigError, check, digest, identity, not_identity, version

CHUNKS = "chunks"
SMALL = 100  # problems


class Answers(Protocol):
    """Whatever can answer: the local engine, a server."""

    def generate(self, requests: list[Request]) -> list[list[Completion]]: ...


class Encodes(Protocol):
    """What is needed of a tokenizer."""

    bos_id: int | None
    hash: str

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True, kw_only=True)
class EvalItem:
    """One problem, ready to be asked."""

    id: str
    question: str
    gold: str
    level: str
    prompt: str
    answer: benchmarks.Answer = "expression"
    anchor: str = "answer is"
    stop: tuple[str, ...] = ()
    tolerance: float = 0.0
    paper: benchmarks.PaperRule | None = None
    """The authors' rule, where the prompt is of the form that it reads."""


@dataclass(frozen=True)
class Ask:
    """One request: a problem in one mode."""

    set: str
    item: EvalItem
    mode: Literal["greedy", "sampled"]
    tokens: tuple[int, ...]
    n: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.set, self.item.id, self.mode


def eval_items(name: str, rows: Sequence[dict[str, Any]], config: Eval) -> list[EvalItem]:
    """The first `limit` problems of a set, with their prompts. ConfigError where the template needs a benchmark."""
    benchmark = benchmarks.find(name)
    if benchmark is None and config.template == "few_shot":
        raise ConfigError(f"eval.template='few_shot': {name!r} has no exemplars; {', '.join(benchmarks.names())} have")
    items = []
    for row in rows[: config.limit]:
        fields: dict[str, Any] = {"id": str(row["id"]), "question": row["question"]}
        fields |= {"gold": row["answer"], "level": str(row["level"])}
        if benchmark is None:
            items.append(EvalItem(**fields, prompt=render(config.template, row["question"]), stop=config.stop))
            continue
        few_shot, asked = config.template == "few_shot", benchmark.prompt
        fields |= {
            "prompt": asked.render(row["question"]) if few_shot else render(config.template, row["question"]),
            "stop": config.stop + (asked.stop if few_shot else ()),
        }
        items.append(
            EvalItem(
                **fields,
                answer=benchmark.answer,
                anchor=asked.anchor,
                tolerance=benchmark.tolerance,
                paper=benchmark.paper if few_shot else None,
            )
        )
    return items


def evaluate(
    engine: Answers,
    tokenizer: Encodes,
    sets: dict[str, list[EvalItem]],
    config: Eval,
    out: Path,
    seed: int,
    grader: Grader | None = None,
) -> dict[str, Any]:
    """Writes prompts.jsonl, samples.jsonl and results.json to `out`; returns {"sets": {set: {"n", "greedy", "sampled", …}}}.

    Resumes from the chunks in `out`, if they are of the same protocol and problems (ConfigError if not; the weights are not
    looked at: a folder belongs to one model).
    """
    asks = [
        ask
        for name, items in sets.items()
        for item in items
        for ask in _asks(name, item, _samples(name, len(items), config), tokenizer)
    ]
    check(len({ask.key for ask in asks}) == len(asks), "eval: two problems of one set have the same id")
    check(bool(asks), "eval: there are no problems")
    rows = _answered(out, asks, _fingerprint(asks, config, tokenizer, seed))
    expected = sum(ask.n for ask in asks)
    progress = Progress(out, expected, "answers", done=len(rows))
    left = [ask for ask in asks if ask.key not in {(row["set"], row["id"], row["mode"]) for row in rows}]
    with contextlib.nullcontext(grader) if grader else Grader() as judge:
        for chunk in _chunks(left, config.batch):
            new = _answer(engine, judge, chunk, config, seed)
            number = len(list((out / CHUNKS).glob("*.jsonl")))
            write_text(out / CHUNKS / f"{number:06d}.jsonl", "".join(_line(row) for row in new))
            rows += new
            right = [row["correct"] for row in rows if row["correct"] is not None]
            progress.update(len(rows), accuracy=sum(right) / max(len(right), 1))
    order = {ask.key: i for i, ask in enumerate(asks)}
    rows.sort(key=lambda row: (order[row["set"], row["id"], row["mode"]], row["sample"]))
    results = {
        "protocol": _protocol(config, seed),
        "sets": {name: _results(name, rows, asks, config, seed) for name in sets},
    }
    prompts = [{"set": name, "id": item.id, "prompt": item.prompt} for name, items in sets.items() for item in items]
    write_text(out / "prompts.jsonl", "".join(_line(row) for row in prompts))
    write_text(out / "samples.jsonl", "".join(_line(row) for row in rows))
    write_json(out / "results.json", results)
    shutil.rmtree(out / CHUNKS)
    return {"sets": {name: _headline(result) for name, result in results["sets"].items()}}


def _samples(name: str, problems: int, config: Eval) -> int:
    """A benchmark's size is that of the whole, so `limit` changes nothing here."""
    benchmark = benchmarks.find(name)
    small = max(problems, benchmark.rows if benchmark else 0) <= SMALL
    return max(config.samples, config.samples_small) if small else config.samples


def _asks(name: str, item: EvalItem, samples: int, tokenizer: Encodes) -> Iterator[Ask]:
    ids = tokenizer.encode(item.prompt)
    ids = ids if tokenizer.bos_id is None else [tokenizer.bos_id, *ids]
    yield Ask(name, item, "greedy", tuple(ids), 1)
    if samples:
        yield Ask(name, item, "sampled", tuple(ids), samples)


def _protocol(config: Eval, seed: int) -> dict[str, Any]:
    return {**identity(replace(config, problems=())), "seed": seed}


def _fingerprint(asks: Sequence[Ask], config: Eval, tokenizer: Encodes, seed: int) -> str:
    """What answers already written must agree with to be used."""
    items = [[ask.set, ask.mode, asdict(ask.item)] for ask in asks]
    return digest([_protocol(config, seed), tokenizer.hash, items])


def _answered(out: Path, asks: Sequence[Ask], fingerprint: str) -> list[dict[str, Any]]:
    """Rows of the chunks of an earlier, killed call."""
    folder = out / CHUNKS
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "fingerprint"
    if not mark.exists():
        write_text(mark, fingerprint)
    elif mark.read_text(encoding="utf-8") != fingerprint:
        raise ConfigError(
            f"{folder}: holds answers of another protocol, seed or problem set; remove it, or use another folder"
        )
    rows = [row for file in sorted(folder.glob("*.jsonl")) for row in read_jsonl(file)]
    known = {ask.key for ask in asks}
    return [row for row in rows if (row["set"], row["id"], row["mode"]) in known]


def _chunks(asks: Sequence[Ask], batch: int) -> Iterator[list[Ask]]:
    """One set's requests of like length together (its prompts share their exemplars, and the engine runs those once), the
    set with the longest prompt first: what does not fit in memory fails at once, not at the end."""
    chunk: list[Ask] = []
    longest: dict[str, int] = {}
    for ask in asks:
        longest[ask.set] = max(longest.get(ask.set, 0), len(ask.tokens))
    for ask in sorted(asks, key=lambda ask: (-longest[ask.set], ask.set, ask.mode, -len(ask.tokens), ask.key)):
        new_kind = chunk and (ask.set, ask.mode) != (chunk[0].set, chunk[0].mode)
        if chunk and (new_kind or sum(a.n for a in chunk) + ask.n > batch):
            yield chunk
            chunk = []
        chunk.append(ask)
    if chunk:
        yield chunk


def sample_seed(seed: int, ask: Ask) -> int:
    """Random stream of a problem, whatever else is evaluated."""
    text = f"{seed}\0{ask.set}\0{ask.item.id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _answer(engine: Answers, grader: Grader, chunk: list[Ask], config: Eval, seed: int) -> list[dict[str, Any]]:
    requests = [
        Request(
            prompt=list(ask.tokens),
            max_tokens=config.max_tokens,
            n=ask.n,
            temperature=0.0 if ask.mode == "greedy" else config.temperature,
            seed=sample_seed(seed, ask),
            stop=ask.item.stop,
        )
        for ask in chunk
    ]
    answers = engine.generate(requests)
    pairs = [
        (ask, i, completion) for ask, group in zip(chunk, answers, strict=True) for i, completion in enumerate(group)
    ]
    readings = [_reading(ask.item, completion, config) for ask, _, completion in pairs]
    verdicts, papers = judge(readings, grader), judge_as_paper(readings, grader)
    return [
        {
            "set": ask.set,
            "id": ask.item.id,
            "level": ask.item.level,
            "question": ask.item.question,
            "gold": ask.item.gold,
            "mode": ask.mode,
            "sample": i,
            "response": completion.text,
            "tokens": len(completion.tokens),
            "finish": completion.finish,
            "correct": verdict.correct,
            "kind": verdict.kind,
            "extracted": verdict.extracted,
            "boxed": bool(boxed(completion.text)),
            **({} if paper is None else {"paper": paper}),
        }
        for (ask, i, completion), verdict, paper in zip(pairs, verdicts, papers, strict=True)
    ]


def _reading(item: EvalItem, completion: Completion, config: Eval) -> Reading:
    return Reading(
        response=completion.text,
        gold=item.gold,
        truncated=completion.finish == "length",
        boxed_only=config.answer == "boxed",
        answer=item.answer,
        anchor=item.anchor,
        tolerance=item.tolerance,
        question=item.question,
        paper=item.paper,
    )


def _results(name: str, rows: list[dict[str, Any]], asks: Sequence[Ask], config: Eval, seed: int) -> dict[str, Any]:
    mine = [row for row in rows if row["set"] == name]
    expected = sum(ask.n for ask in asks if ask.set == name)
    graded = sum(row["correct"] is not None for row in mine)
    not_gradable = sum(row["kind"] in ("bad_gold", "timeout") for row in mine)
    if expected != graded + not_gradable or len(mine) != expected:
        raise RuntimeError(
            f"{name}: {expected} answers expected, {len(mine)} there: {graded} graded, {not_gradable} not gradable"
        )
    samples = _samples(name, len({row["id"] for row in mine}), config)
    return summarise(mine, [k for k in config.pass_k if k <= samples], seed)


def _headline(result: dict[str, Any]) -> dict[str, Any]:
    modes = {mode: result[mode]["accuracy"] if result[mode] else None for mode in ("greedy", "sampled")}
    return {"n": result["n"], **modes, "boxed": (result["sampled"] or result["greedy"])["boxed"]}


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class EvalRun:
    """One model, measured on the sets of `eval.problems`."""

    eval: Eval
    seed: int = 0
    grader: int = VERSION
    """Version of the grader that judges."""
    threads: int = not_identity(0)

    @classmethod
    def of(cls, experiment: Experiment, seed: int) -> EvalRun:
        return cls(eval=experiment.eval, seed=seed, threads=experiment.threads)


@version(2)
def eval_stage(config: EvalRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `model`, a Hugging Face folder or a stage with one in model/; `problems.<set>`, the sets' stages."""
    check(
        config.grader == VERSION,
        f"grader: planned with version {config.grader}, here is {VERSION}; start the run again",
    )
    if config.threads:
        torch.set_num_threads(config.threads)
    sets = {}
    for name in config.eval.problems:
        folder = inputs.get(f"problems.{name}")
        if folder is None:
            raise ConfigError(f"eval.problems: no input problems.{name}; there is: {', '.join(sorted(inputs))}")
        sets[name] = eval_items(name, read_jsonl(folder / "problems.jsonl"), config.eval)
    engine: Answers
    tokenizer: Encodes
    server = Server.at(inputs["model"], config.eval.batch)
    if server is not None:
        engine, tokenizer = server, Characters()
    else:
        model = inputs["model"] / "model" if (inputs["model"] / "model").is_dir() else inputs["model"]
        tokenizer = whole = Tokenizer.load(model)
        dtype = torch.bfloat16 if config.eval.precision == "bf16" else torch.float32
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        engine = Engine(load_model(model).to(device), whole, batch=config.eval.batch, dtype=dtype)
    return evaluate(engine, tokenizer, sets, config.eval, out, config.seed)
