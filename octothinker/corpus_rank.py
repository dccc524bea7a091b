"""Micro-anneal: which candidate source is worth its place? (OLMo 3's way of ranking sources, in small.)

    model ─┬─ control alone ───────────── anneal ─ eval ─┐
           ├─ control + share of A ────── anneal ─ eval ─┼─ gain of each over the control, paired by problem and seed
           └─ control + share of B … ──── anneal ─ eval ─┘

The same stable checkpoint, token budget, schedule and seeds for all; only the mixture differs. It is an ordinary experiment, so
it runs, resumes and is kept like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from octothinker.config import Eval, Experiment, Midtrain, Problems, Schedule, Source, StartModel
from octothinker.insight.compare import Estimate, Tally, difference, estimate, tally
from octothinker.records import read_json, read_jsonl
from octothinker.typed import ConfigError, check

CONTROL = "control"


@dataclass(frozen=True)
class Ranked:
    source: str
    set: str
    mode: str
    accuracy: Estimate
    gain: Estimate | None
    """Over the control; None for the control itself."""
    loss: float
    """Of the last step, mean over seeds: on other data for every source, so no measure of merit."""


def experiment(
    model: str,
    control: Source,
    candidates: dict[str, Source],
    problems: dict[str, Problems],
    evaluation: Eval,
    tokens: int,
    share: float = 0.3,
    seeds: Sequence[int] = (0,),
    seq_len: int = 1024,
    batch_size: int = 8,
    lr: float | None = None,
) -> Experiment:
    """One anneal for the control and one for each candidate. ConfigError for a share outside 0..1 or a name taken."""
    check(0 < share <= 1, f"share={share} of the candidate must be over 0 and at most 1")
    check(bool(candidates), "rank: no candidates")
    if CONTROL in candidates:
        raise ConfigError(f"a candidate cannot be called {CONTROL!r}")

    def anneal(name: str, mixture: dict[str, float]) -> Midtrain:
        return Midtrain(
            name=name,
            mixture={source: weight for source, weight in mixture.items() if weight > 0},
            tokens=tokens,
            seq_len=seq_len,
            batch_size=batch_size,
            schedule=Schedule(kind="linear", lr=lr or 2e-5, final_ratio=0.0),
        )

    return Experiment(
        name="rank",
        seeds=tuple(seeds),
        model=StartModel(path=model),
        sources={CONTROL: control, **candidates},
        problems=problems,
        midtrain=(
            anneal(CONTROL, {CONTROL: 1.0}),
            *(anneal(name, {CONTROL: 1.0 - share, name: share}) for name in candidates),
        ),
        eval=evaluation,
    )


def ranking(folder: Path) -> list[Ranked]:
    """What the finished evaluations of a run say, for each set and mode the best gain first, the control last."""
    recipe = read_json(folder / "experiment.json")
    names = [stage["name"] for stage in recipe["midtrain"]]
    folders: dict[tuple[str, int], Path] = {}
    losses: dict[str, list[float]] = {}
    for row in read_json(folder / "plan.json"):
        place = folder / row["folder"]
        if row["kind"] == "eval" and (place / "samples.jsonl").exists():
            folders[row["init"], row["seed"]] = place
        if row["kind"] == "midtrain" and (place / "manifest.json").exists():
            losses.setdefault(row["init"], []).append(read_json(place / "manifest.json")["result"]["loss"])
    seeds = [s for s in recipe["seeds"] if (CONTROL, s) in folders]
    check(bool(seeds), f"{folder}: the control is not evaluated yet")
    answers = {key: read_jsonl(place / "samples.jsonl") for key, place in folders.items()}
    modes = dict.fromkeys((row["set"], row["mode"]) for row in answers[CONTROL, seeds[0]])
    ranked = []
    for set_name, mode in modes:
        tallies = {
            key: tally(row for row in rows if (row["set"], row["mode"]) == (set_name, mode))
            for key, rows in answers.items()
        }
        entries = [_entry(name, set_name, mode, seeds, tallies, losses.get(name, [])) for name in names]
        found = [entry for entry in entries if entry is not None]
        ranked += sorted(found, key=lambda e: (e.gain is None, -(e.gain.value if e.gain else 0.0)))
    return ranked


def _entry(
    name: str, set_name: str, mode: str, seeds: list[int], tallies: dict[tuple[str, int], Tally], losses: list[float]
) -> Ranked | None:
    """None when nothing of it can be compared with the control yet."""
    both = [s for s in seeds if (name, s) in tallies]
    mine, theirs = [tallies[name, s] for s in both], [tallies[CONTROL, s] for s in both]
    accuracy = estimate(mine)
    if accuracy is None:
        return None
    gain = None if name == CONTROL else difference(mine, theirs)
    return Ranked(name, set_name, mode, accuracy, gain, sum(losses) / len(losses) if losses else float("nan"))
