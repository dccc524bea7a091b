"""Read a run folder, finished or not: what is missing becomes a note, what is broken an error that names the file.

experiment.json, run.json, plan.json -> Run.stages -> metrics.jsonl, manifests -> Series
                                                   -> samples.jsonl            -> Answers: a Tally per set and mode
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from octothinker.config import Experiment
from octothinker.data.contamination import PROMPTS, WORDS
from octothinker.insight.compare import Tally, tally
from octothinker.records import read_json, read_jsonl
from octothinker.typed import ConfigError, from_json

TRANSCRIPTS = 12
"""Problems whose answers are shown side by side, the same number of each level."""


@dataclass(frozen=True)
class StageView:
    """A stage of the plan as it lies on disk."""

    name: str
    kind: str
    key: str
    seed: int | None
    init: str | None
    """The model that an `rl`, `midtrain` or `eval` stage is about."""
    folder: Path
    state: Literal["done", "failed", "unfinished", "not started"]
    error: str
    """First line of `error.txt`, if the stage failed."""

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return dict(read_json(self.folder / "manifest.json")) if self.state == "done" else {}

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        return read_jsonl(self.folder / "metrics.jsonl")


@dataclass(frozen=True)
class Answers:
    """All answers of one model on the evaluation: sums per problem, and the texts of the problems that are shown."""

    tallies: dict[tuple[str, str], Tally]
    """(problem set, "greedy" or "sampled") -> sums."""
    shown: dict[tuple[str, str], dict[str, Any]]
    """(problem set, problem id) -> the row of its first sampled answer (greedy where there is none)."""
    results: dict[str, Any]
    """`results.json`'s "sets"."""


@dataclass(frozen=True)
class Run:
    """A run folder. `evals[init, seed]` holds the answers before RL, `after_rl[init, seed]` those after."""

    folder: Path
    experiment: Experiment
    recipe: dict[str, Any]
    info: dict[str, Any]
    stages: tuple[StageView, ...]
    evals: dict[tuple[str, int], Answers]
    after_rl: dict[tuple[str, int], Answers]

    def of_kind(self, kind: str) -> list[StageView]:
        return [stage for stage in self.stages if stage.kind == kind]

    @property
    def inits(self) -> tuple[str, ...]:
        """The models that are measured: those RL starts from, or without RL every stage's (graph.expand)."""
        return self.experiment.rl_from or tuple(stage.name for stage in self.experiment.midtrain) or ("start",)

    @property
    def main_set(self) -> str:
        """The set that the answer is read from: the first that the recipe names."""
        return self.experiment.eval.problems[0]

    @cached_property
    def contamination(self) -> dict[str, Any]:
        """Text (a source's name, or PROMPTS) -> what contamination_stage found there; empty before it has run."""
        return {
            k: v
            for s in self.of_kind("contamination")
            for k, v in s.manifest.get("result", {}).get("texts", {}).items()
        }

    @cached_property
    def overlap(self) -> dict[str, tuple[int, int]]:
        """Evaluation set -> (its problems whose whole question stands in the RL prompts, all its problems), where any do."""
        sets = self.contamination.get(PROMPTS, {}).get("sets", {})
        return {name: (found["whole"], found["problems"]) for name, found in sets.items() if found["whole"]}

    @cached_property
    def levels(self) -> list[str]:
        """Levels of the main set, in natural order; a set without levels has one."""
        found = {
            level
            for answers in (*self.evals.values(), *self.after_rl.values())
            for (name, _), t in answers.tallies.items()
            if name == self.main_set
            for level in t.levels
        }
        return sorted(found, key=lambda level: (len(level), level))

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know before believing the numbers, as sentences."""
        out = []
        waiting = [s for s in self.stages if s.state != "done"]
        if waiting:
            names = ", ".join(s.name for s in waiting[:8]) + (
                f" and {len(waiting) - 8} more" if len(waiting) > 8 else ""
            )
            done = len(self.stages) - len(waiting)
            out.append(f"This run is not finished: {done} of {len(self.stages)} stages are done. Missing: {names}.")
        out += [f"Stage {s.name} failed: {s.error}" for s in self.stages if s.state == "failed"]
        if not self.stages:
            out.append("This run has not started: plan.json is missing.")
        out += [
            f"{n} of {of} problems of {name} stand whole in the RL prompts: its score after RL is no measure of anything new."
            for name, (n, of) in self.overlap.items()
        ]
        most = str(max(WORDS))
        out += [
            f"{found['whole']} of {found['problems']} problems of {name} stand whole in {text}, which was trained on "
            f"({found[most]} do or share {most} words in a row with it): contamination.jsonl has the words."
            for text, looked in self.contamination.items()
            for name, found in looked["sets"].items()
            if text != PROMPTS and found["whole"]
        ]
        if not self.experiment.eval.samples:
            out.append("eval.samples=0, no answers are sampled: there is no gain and no verdict, only greedy accuracy.")
        if len(self.experiment.seeds) == 1:
            out.append(
                "One seed: the intervals tell how much the choice of problems matters, not the luck of training."
            )
        for when, group in (("", self.evals), (" after RL", self.after_rl)):
            for (init, seed), answers in group.items():
                out += [f"{init}{when}, seed {seed}: {text}" for text in _doubts(answers)]
        return out


def collect(folder: Path) -> Run:
    """Read the run in `folder`. Raises ConfigError when it is no run folder, ValueError when a file in it is broken."""
    if not (folder / "experiment.json").is_file():
        raise ConfigError(f"{folder} is no run folder: it has no experiment.json (`octo run RECIPE --out {folder}`)")
    recipe = read_json(folder / "experiment.json")
    experiment = from_json(Experiment, recipe)
    info = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    run = Run(folder, experiment, recipe, info, stages(folder), {}, {})
    for stage in run.of_kind("eval"):
        if stage.state == "done" and stage.init is not None:
            group = run.after_rl if stage.name.startswith(f"eval.rl-{stage.init}.") else run.evals
            group[stage.init, stage.seed or 0] = _answers(stage.folder)
    return run


def stages(folder: Path) -> tuple[StageView, ...]:
    """The stages of the plan as they lie there now; none before the run has started."""
    plan = read_json(folder / "plan.json") if (folder / "plan.json").is_file() else []
    return tuple(_stage(folder, entry) for entry in plan)


def _stage(out: Path, entry: dict[str, Any]) -> StageView:
    folder = out / "stages" / Path(entry["folder"]).name  # never outside the run folder, whatever plan.json says
    tmp = folder.with_name(folder.name + ".tmp")
    state: Literal["done", "failed", "unfinished", "not started"] = "done"
    error = ""
    if not (folder / "manifest.json").is_file():
        folder = tmp
        state = "unfinished" if tmp.is_dir() else "not started"
        if (tmp / "error.txt").is_file():
            state, error = "failed", (tmp / "error.txt").read_text(encoding="utf-8").partition("\n")[0][:300]
    return StageView(entry["name"], entry["kind"], entry["key"], entry["seed"], entry["init"], folder, state, error)


def _answers(folder: Path) -> Answers:
    """One pass over samples.jsonl; of the texts only those of the problems that are shown are kept."""
    file = folder / "samples.jsonl"
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    texts: dict[tuple[str, str], dict[str, Any]] = {}
    for row in _rows(file):
        name, problem = row["set"], row["id"]
        first = row["sample"] == 0 and (row["mode"] == "sampled" or (name, problem) not in texts)
        if first:
            texts[name, problem] = row
        slim = {key: row[key] for key in ("id", "level", "correct", "boxed", "finish", "tokens")}
        groups.setdefault((name, row["mode"]), []).append(slim)
    shown = {key: texts[key] for name in {key[0] for key in texts} for key in _chosen(name, texts)}
    tallies = {key: tally(rows) for key, rows in groups.items()}
    return Answers(tallies, shown, read_json(folder / "results.json")["sets"])


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{file}:{number}: not valid JSON: {error}") from error


def _chosen(name: str, texts: dict[tuple[str, str], dict[str, Any]]) -> list[tuple[str, str]]:
    """The problems of a set whose SHA-256 of the id is smallest, equally many of each level, whatever the outcome."""
    by_level: dict[str, list[tuple[str, str]]] = {}
    for key in sorted((k for k in texts if k[0] == name), key=lambda k: hashlib.sha256(k[1].encode()).hexdigest()):
        by_level.setdefault(str(texts[key]["level"]), []).append(key)
    each = max(1, TRANSCRIPTS // max(1, len(by_level)))
    return [key for level in sorted(by_level, key=lambda v: (len(v), v)) for key in by_level[level][:each]]


def _doubts(answers: Answers) -> list[str]:
    """Where results.json and samples.jsonl disagree, and answers that nobody could grade."""
    out = []
    for (name, mode), t in answers.tallies.items():
        said = (answers.results.get(name, {}).get(mode) or {}).get("accuracy")
        counted = t.value("accuracy")
        if said is not None and counted is not None and abs(said - counted) > 0.005:
            out.append(f"results.json says {said:.1%} {mode} accuracy on {name}, its samples say {counted:.1%}")
        samples, graded = t.sums[:, 0].sum(), t.sums[:, 1].sum()
        if samples > graded:
            out.append(f"{samples - graded:.0f} of {samples:.0f} {mode} answers on {name} could not be graded")
    return out
