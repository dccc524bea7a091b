"""The tables of docs/smollm2.md, from its three run folders:

python docs/smollm2.py runs/smollm2-before runs/smollm2 runs/smollm2-after
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from octothinker.insight.compare import difference
from octothinker.records import read_json
from octothinker.report.collect import Run, collect


def share(measured: dict[str, Any], key: str = "accuracy") -> str:
    value = f"{measured[key]:.1%}"
    return value + (" ({:.1f} to {:.1f})".format(*(100 * end for end in measured["ci"])) if key == "accuracy" else "")


def sets(run: Run) -> dict[str, Any]:
    """The results of a run that holds one evaluation."""
    (stage,) = run.of_kind("eval")
    return dict(read_json(stage.folder / "results.json")["sets"])


def tables(before: Run, run: Run, after: Run) -> Iterator[str]:
    yield "| stage | tokens | steps | mixture | loss, first -> last 5 steps | minutes |\n|---|---|---|---|---|---|"
    for stage in (s for s in run.of_kind("midtrain") if s.state == "done"):
        rows, config = stage.metrics, stage.manifest["config"]["stage"]
        mixture = ", ".join(f"{part:.0%} {source}" for source, part in config["mixture"].items())
        loss = " -> ".join(f"{mean(row['loss'] for row in part):.3f}" for part in (rows[:5], rows[-5:]))
        minutes = stage.manifest["seconds"] / 60
        yield f"| {stage.init} | {rows[-1]['tokens']:,} | {len(rows)} | {mixture} | {loss} | {minutes:.1f} |"
    for stage in (s for s in run.of_kind("rl") if s.state == "done"):
        rewards = " ".join(f"{row['reward']:+.2f}" for row in stage.metrics)
        yield f"\nRL from {stage.init}, {stage.manifest['seconds'] / 60:.1f} minutes; reward by step: {rewards}"
    yield "\n| problems | | greedy (95%) | sampled (95%) | boxed, sampled | accuracy given a box, sampled |"
    yield "|---|---|---|---|---|---|"
    name = run.main_set
    for when, group in (("mid-training", run.evals), ("RL", run.after_rl)):
        for answers in group.values():
            one, many = answers.results[name]["greedy"], answers.results[name]["sampled"]
            boxed = f"{share(many, 'boxed')} | {share(many, 'accuracy_given_box')}"
            yield f"| {name} | after {when} | {share(one)} | {share(many)} | {boxed} |"
    sides = [[answers.tallies[name, "sampled"] for answers in group.values()] for group in (run.after_rl, run.evals)]
    if gain := difference(*sides):
        yield f"\nGain, sampled: {gain.value * 100:+.1f} points [{gain.low * 100:+.1f}, {gain.high * 100:+.1f}]"
    yield "\n| set | n | before (95%) | after mid-training and RL (95%) |\n|---|---|---|---|"
    first, last = sets(before), sets(after)
    for name in first:
        cells = [f"{share(s['greedy'])}, {share(s['greedy'], 'truncation')} cut off" for s in (first[name], last[name])]
        yield f"| {name} | {first[name]['n']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=3, metavar=("BEFORE", "RUN", "AFTER"))
    print("\n".join(tables(*map(collect, parser.parse_args().runs))))
