"""The same outputs, scored by us and by lm-evaluation-harness: `python tests/evals/parity_lm_eval.py SAMPLES BENCH`.

A program for an environment of its own (`pip install torch==2.13.0 "lm-eval[math]"`), not a test: it imports nothing of ours.
SAMPLES is the samples.jsonl of a few-shot evaluation of gsm8k, math500 and mmlu_stem. The harness reads with the filters of
its task files: gsm8k_cot (strict and flexible), minerva_math (exact_match and math_verify), mmlu_pro's letter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from lm_eval import tasks
from lm_eval.api.metrics import exact_match_fn
from lm_eval.filters.extraction import RegexFilter
from lm_eval.tasks.minerva_math import utils as minerva

TASKS = Path(tasks.__file__).parent


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


class Loader(yaml.SafeLoader):
    """Task files name functions with !function; they are not wanted here."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def regex(config: dict[str, Any], name: str, text: str) -> str:
    steps = next(f for f in config["filter_list"] if f["name"] == name)["filter"]
    settings = {k: v for k, v in steps[0].items() if k != "function"}
    return str(RegexFilter(**settings).apply([[text]], [{}])[0][0])


def verdicts(
    row: dict[str, Any], gsm: dict[str, Any], pro: dict[str, Any], solutions: dict[str, str]
) -> dict[str, bool]:
    text, gold = row["response"], row["gold"]
    if row["set"] == "gsm8k":
        ignore = gsm["metric_list"][0]["regexes_to_ignore"]
        found = {name: regex(gsm, name, text) for name in ("strict-match", "flexible-extract")}
        scores = {
            k: exact_match_fn(predictions=[v], references=[gold], regexes_to_ignore=ignore, ignore_case=True)
            for k, v in found.items()
        }
        return {name: bool(score["exact_match"]) for name, score in scores.items()}
    if row["set"] == "math500":
        doc = {"solution": solutions[row["id"]], "answer": minerva.normalize_final_answer(gold)}
        return {name: bool(score) for name, score in minerva.process_results(doc, [text]).items()}
    return {"custom-extract": regex(pro, "custom-extract", text) == gold}


def main(samples: Path, bench: Path) -> None:
    gsm = yaml.load((TASKS / "gsm8k" / "gsm8k-cot.yaml").read_text(), Loader)
    pro = yaml.load((TASKS / "mmlu_pro" / "_default_template_yaml").read_text(), Loader)
    solutions = {row["unique_id"]: row["solution"] for row in rows(bench / "math500" / "test.jsonl")}
    table: dict[tuple[str, str], list[tuple[bool, bool]]] = {}
    for row in rows(samples):
        for name, theirs in verdicts(row, gsm, pro, solutions).items():
            ours = bool(row["correct"])
            table.setdefault((row["set"], name), []).append((ours, theirs))
            if ours != theirs:
                tail = row["response"][-160:].replace("\n", "⏎")
                print(
                    f"{row['set']} {row['id']} {name}: ours {ours} ({row['extracted']!r}), gold {row['gold']!r}: …{tail}"
                )
    for (name, rule), pairs in table.items():
        ours, theirs = (sum(pair[i] for pair in pairs) for i in (0, 1))
        agree = sum(a == b for a, b in pairs)
        print(f"{name} {rule}: n {len(pairs)}, ours {ours} right, theirs {theirs}, agree on {agree}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
