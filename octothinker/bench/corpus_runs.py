"""Whole corpora for `octo bench corpus`: a small recipe of generated pages, run by the clock, or killed in every stage."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from octothinker.config import Source
from octothinker.corpus.config import Decontaminate, Engine, Tokenise
from octothinker.corpus.pages import Web
from octothinker.corpus.recipe import Corpus
from octothinker.corpus_graph import expand
from octothinker.model.tokenizer import train_tokenizer
from octothinker.records import write_json, write_text
from octothinker.stage import Stage

SENTENCES = (
    "Let $x_{{{a}}}$ be a root of the polynomial $x^2 - {a}x + {b}$ and suppose that it lies in the field with {b} elements.",
    "The {word} of a set with {a} members is the number of ways to choose its {word}, which is at most ${a}^{{{b}}}$.",
    "We show that the {word} converges when the {other} is bounded by {a}, and give a proof that needs no {word} at all.",
    "For every {word} there is an {other} whose distance to the origin is less than {a} plus the square root of {b}.",
    "Divide the {word} by {a}, add {b} to what is left over, and compare it with the {other} that was found before.",
)
QUESTION = (
    "A train leaves the northern station at eighty miles an hour, and another leaves the harbour thirteen minutes later; "
    "when do the two meet?"
)
"""The one test problem; a page in fifty holds it."""
NOUNS = [
    "lattice", "matrix", "sequence", "number", "graph", "sum",
    "integral", "kernel", "limit", "curve", "station", "average", "series",
]  # fmt: skip


def pages(count: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """HTML pages of sentences on mathematics; one in ten is a near copy of an earlier one."""
    rng, earlier = random.Random(seed), list[list[str]]()
    for number in range(count):
        if earlier and rng.random() < 0.1:
            lines = list(rng.choice(earlier))
            lines[rng.randrange(len(lines))] = "This line alone is another."
        else:
            lines = [_sentence(rng) for _ in range(rng.randint(20, 60))] + [QUESTION] * (number % 50 == 7)
            earlier = [*earlier[-50:], lines]
        body = "".join(f"<p>{line}</p>" for line in lines)
        html = f"<html><head><title>Page {number}</title></head><body><h1>Page {number}</h1>{body}</body></html>"
        yield {"url": f"https://site{number % 17}.example/{number}", "html": html, "date": f"{2015 + number % 9}-01-01"}


def _sentence(rng: random.Random) -> str:
    word, other = rng.sample(NOUNS, 2)
    return rng.choice(SENTENCES).format(a=rng.randint(2, 999), b=rng.randint(2, 99), word=word, other=other)


def recipe(folder: Path, count: int, shards: int = 4) -> Corpus:
    """Writes its pages, questions and tokenizer to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "pages.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in pages(count))
    write_text(
        folder / "plain.jsonl", json.dumps({"text": " ".join(_sentence(random.Random(1)) for _ in range(30))}) + "\n"
    )
    write_text(folder / "trains.jsonl", json.dumps({"id": "1", "question": QUESTION, "answer": "3"}) + "\n")
    train_tokenizer([row["html"] for row in pages(50)], 400).save(folder / "tokenizer")
    write_json(folder / "tokenizer" / "config.json", {})
    return Corpus(
        name="bench",
        pages={"web": Web(path=str(folder / "pages.jsonl"))},
        sources={"plain": Source(path=str(folder / "plain.jsonl"))},
        shards=shards,
        decontaminate=Decontaminate(data=str(folder), benchmarks=("trains",)),
        tokenise=Tokenise(tokenizer=str(folder / "tokenizer")),
        engine=Engine(workers=1),
    )


def stages_in_order(corpus: Corpus, out: Path) -> Iterator[tuple[Stage, list[str]]]:
    """Every stage with the command that runs it; the caller runs it before asking for the next."""
    for stage in expand(corpus, out / "fingerprints.json"):
        yield stage, [sys.executable, "-m", "octothinker.stage", str(stage.prepare(out))]


def environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}


def run_stage(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[-1]} failed: {done.stderr[-2000:]}")
    return done.stdout


MEASURE = """import resource, sys
from octothinker.bench.worker import peak_mb
from octothinker.stage import main
code = main(sys.argv[1:])
print(max(peak_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000))
sys.exit(code)"""
"""Runs a stage and says the most that it or a helper held. A helper's count begins at what its parent holds; that is in it."""


def measured(folder: Path, count: int, name: str) -> tuple[float, float, str]:
    """One whole corpus of `count` pages: CPU seconds of all processes, MB of the largest, the stage that it is of."""
    corpus, peaks = recipe(folder / f"in-{name}", count), dict[str, float]()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for stage, (python, *_, job) in stages_in_order(corpus, folder / f"run-{name}"):
        peaks[stage.name] = float(run_stage([python, "-c", MEASURE, job]).split()[-1])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    largest = max(peaks, key=lambda stage: peaks[stage])
    return seconds, peaks[largest], largest


def contents(out: Path) -> dict[str, str]:
    """Checksums of what a corpus is: documents, ledgers, tokens; not logs, times and progress."""
    names = ("*.jsonl.zst", "ledger.json", "evidence.jsonl", "tokens-*.bin", "ends.npy")
    wanted = [file for name in names for file in out.glob(f"stages/*/{name}")]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(wanted)}


def differences(alone: Path, other: Path) -> list[str]:
    """Files that two corpora do not share, or not with the same bytes."""
    a, b = contents(alone), contents(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def whole(corpus: Corpus, out: Path) -> None:
    """The corpus, stage by stage, left alone."""
    for _, command in stages_in_order(corpus, out):
        run_stage(command)


def killed(corpus: Corpus, out: Path, moments: tuple[int, ...] = (0, 1)) -> tuple[int, int]:
    """The same, but every stage is killed once it has done as many tasks as each of `moments` says, and started again.

    Returns (kills that landed, stages).
    """
    kills = stages = 0
    for stage, command in stages_in_order(corpus, out):
        stages += 1
        for tasks in moments:
            kills += _kill_once(stage.tmp(out), command, tasks)
        if not stage.done(out):
            run_stage(command)
    return kills, stages


def _kill_once(tmp: Path, command: list[str], tasks: int) -> bool:
    """Start a stage and kill it with all its helpers when it has `tasks` tasks done and works on; False: it was faster."""
    if not tmp.exists():  # done already
        return False
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None:
        working = (tmp / "progress.json").exists() or any(tmp.glob("*.jsonl*"))
        if working and len(list(tmp.glob("logs/**/completions/*"))) >= tasks:
            break
        time.sleep(0.002)
    landed = process.poll() is None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    return landed and tmp.exists()
