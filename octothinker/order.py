"""Which stages, in which order, how many at once: pure functions over a list of stages in topological order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from octothinker.stage import Stage
from octothinker.typed import ConfigError, suggest


def select(stages: Sequence[Stage], only: Sequence[str]) -> list[Stage]:
    """The stages of these names (`rl.short` stands for all its seeds) with all they need; everything when `only` is empty."""
    if not only:
        return list(stages)
    chosen: set[str] = set()
    for name in only:
        found = [s for s in stages if s.name == name or s.name.startswith(name + ".s") or s.kind == name]
        if not found:
            raise ConfigError(f"--only {name}: no such stage{suggest(name, [s.name for s in stages])}")
        for stage in found:
            chosen |= {s.name for s in _ancestors(stage)} | {stage.name}
    return [stage for stage in stages if stage.name in chosen]


def _ancestors(stage: Stage) -> list[Stage]:
    return [a for parent in stage.parents for a in [*_ancestors(parent), parent]]


def priorities(stages: Sequence[Stage], costs: Mapping[str, float]) -> dict[str, float]:
    """Name -> cost of the longest chain that starts with this stage; the highest goes first."""
    longest: dict[str, float] = {}
    for stage in reversed(stages):  # topological order: children come after their parents
        children = [s.name for s in stages if stage in s.parents]
        longest[stage.name] = costs.get(stage.name, 1.0) + max((longest[c] for c in children), default=0.0)
    return longest


def makespan(stages: Sequence[Stage], costs: Mapping[str, float], jobs: int) -> float:
    """Time until all is done when `jobs` stages run at once, by the same rule as `run`."""
    rank, names = priorities(stages, costs), {s.name for s in stages}
    waiting, done, now = list(stages), set[str](), 0.0
    busy: list[tuple[float, str]] = []
    while waiting or busy:
        ready = [s for s in waiting if all(p.name in done or p.name not in names for p in s.parents)]
        for stage in sorted(ready, key=lambda s: -rank[s.name])[: jobs - len(busy)]:
            waiting.remove(stage)
            busy.append((now + costs.get(stage.name, 1.0), stage.name))
        now, name = min(busy)
        busy.remove((now, name))
        done.add(name)
    return now


def width(stages: Sequence[Stage]) -> int:
    """How many stages can run at once: the most of them at one depth."""
    depth: dict[str, int] = {}
    for stage in stages:
        depth[stage.name] = 1 + max((depth[p.name] for p in stage.parents), default=0)
    levels = list(depth.values())
    return max((levels.count(level) for level in levels), default=1)


def default_jobs(stages: Sequence[Stage]) -> int:
    """Of the whole experiment, not of what is missing: the threads of a stage must not depend on when a run was stopped."""
    import torch

    return 1 if torch.cuda.is_available() else min(cores(), width(stages))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
