"""The response-length scheduler (PAPER: 2,048 -> 4,096 -> 8,192): the limit as a pure function of step and history."""

from __future__ import annotations

from octothinker.config import LengthSchedule


def limit_at(schedule: LengthSchedule, step: int, truncation: list[float]) -> int:
    """Maximum response tokens at rollout step `step`.

    Piecewise: the last entry whose first step has come. Adaptive (`adaptive_truncation` set): the next limit comes once the
    truncation rate, averaged over the last `patience` steps under the present one, exceeds the threshold, and the entries'
    first steps are not used. `truncation` is the rate of each past step (0..step-1), as recorded in metrics.jsonl.
    """
    limits = schedule.limits
    if schedule.adaptive_truncation is None:
        return [limit for first, limit in limits if first <= step][-1]
    level, since = 0, 0
    for now in range(1, step + 1):
        recent = truncation[max(since, now - schedule.patience) : now]
        full_window = now - since >= schedule.patience
        if level + 1 < len(limits) and full_window and sum(recent) / len(recent) > schedule.adaptive_truncation:
            level, since = level + 1, now
    return limits[level][1]
