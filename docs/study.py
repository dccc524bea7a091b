"""The tables of docs/nano.md and the picture of the README, from a run folder:

octo run nano --seeds 0,1,2 --out runs/study
python docs/study.py runs/study                        the tables, as Markdown
python docs/study.py runs/study --svg docs/nano.svg    the picture
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from octothinker.grade.extract import last_number
from octothinker.insight.compare import Estimate, difference, estimate
from octothinker.records import read_jsonl, write_text
from octothinker.report.collect import Run, collect
from octothinker.report.summary import Row, rows, tallies

COLOURS = {"base": "#6b7280", "short": "#2f81c7", "long": "#d9660d", "hybrid": "#0f9d74"}


def percent(e: Estimate | None) -> str:
    return f"{e.value * 100:.1f}" if e else "–"


def points(e: Estimate | None) -> str:
    return f"{e.value * 100:+.1f} [{e.low * 100:+.1f}, {e.high * 100:+.1f}]" if e else "–"


def change(row: Row, key: str) -> str:
    return f"{percent(row.start and row.start[key])} → {percent(row.rl and row.rl[key])}"


def tables(run: Run) -> Iterator[str]:
    table = rows(run)
    seeds = " ".join(map(str, run.experiment.seeds))
    n = table[0][0].n
    yield f"**Pooled over seeds {seeds}**, {n} problems; per cent and points, 95% intervals.\n"
    columns = "model, sampled, gain, over base + RL, greedy, greedy gain, boxed, accuracy given a box, tokens, cut off, verdict"
    yield f"| {columns.replace(', ', ' | ')} |"
    yield "|---" * (columns.count(",") + 1) + "|"
    for group in table:
        r = group[0]
        tokens = f"{r.start['length'].value:.0f} → {r.rl['length'].value:.0f}"  # type: ignore[index,union-attr]
        cells = [r.init, change(r, "sampled"), points(r.gain), points(r.over_base), change(r, "greedy")]
        cells += [points(r.gain_greedy), change(r, "boxed"), change(r, "accuracy_given_box"), tokens]
        yield f"| {' | '.join([*cells, change(r, 'truncation'), r.verdict.word if r.verdict else '–'])} |"
    yield "\n**Each seed**\n"
    yield "| model | seed | sampled | gain | greedy | greedy gain | boxed | accuracy given a box |"
    yield "|---|---|---|---|---|---|---|---|"
    for group in table:
        for r in group:
            if not r.pooled:
                cells = [r.init, str(r.seeds[0]), change(r, "sampled"), points(r.gain), change(r, "greedy")]
                cells += [points(r.gain_greedy), change(r, "boxed"), change(r, "accuracy_given_box")]
                yield f"| {' | '.join(cells)} |"
    yield "\n**By level**, pooled: sampled accuracy, greedy accuracy\n"
    yield "| model | " + " | ".join(f"level {level}" for level in run.levels) + " |"
    yield "|---" * (len(run.levels) + 1) + "|"
    for group in table:
        yield f"| {group[0].init} | " + " | ".join(by_level(run, group[0], level) for level in run.levels) + " |"
    yield "\n**Long over short after RL**, sampled, by level\n"
    yield "| " + " | ".join(f"level {level}" for level in run.levels) + " |"
    yield "|---" * len(run.levels) + "|"
    sides = [tallies(run.after_rl, init, table[0][0].seeds, run.main_set, "sampled") for init in ("long", "short")]
    assert sides[0] and sides[1], "both branches are measured"
    gaps = [
        points(difference([t.at([level]) for t in sides[0]], [t.at([level]) for t in sides[1]])) for level in run.levels
    ]
    yield f"| {' | '.join(gaps)} |"
    yield "\n**The base before RL, last number right, boxed or not** (sampled, each seed)\n"
    yield ", ".join(f"{share * 100:.1f}%" for share in last_number_right(run, run.experiment.base))


def last_number_right(run: Run, init: str) -> Iterator[float]:
    """Share of sampled answers whose last number is the gold answer, before RL, one a seed."""
    for stage in run.of_kind("eval"):
        if stage.name.startswith(f"eval.{init}."):
            sampled = [row for row in read_jsonl(stage.folder / "samples.jsonl") if row["mode"] == "sampled"]
            yield sum(last_number(row["response"]) == row["gold"] for row in sampled) / len(sampled)


def by_level(run: Run, row: Row, level: str) -> str:
    shown = []
    for mode in ("sampled", "greedy"):
        values = []
        for group in (run.evals, run.after_rl):
            found = tallies(group, row.init, row.seeds, run.main_set, mode)
            values.append(percent(estimate([t.at([level]) for t in found]) if found else None))
        shown.append(" → ".join(values))
    return ", ".join(shown)


def svg(run: Run) -> str:
    """Sampled accuracy before (hollow) and after RL (filled), with 95% intervals: one line a model."""
    left, width, top, step = 90, 560, 54, 44
    groups = [group[0] for group in rows(run)]
    height = top + step * len(groups) + 40

    def x(value: float) -> float:
        return left + value * width

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" '
        'font-family="system-ui, sans-serif" font-size="14" fill="#7d8590">',
        '<text x="12" y="22" font-weight="600" font-size="15">Sampled accuracy before and after the same RL</text>',
        '<text x="12" y="40" font-size="12">nano, pooled over seeds '
        f"{', '.join(map(str, run.experiment.seeds))}; bars are 95% intervals</text>",
    ]
    for tick in range(0, 101, 20):
        at = x(tick / 100)
        parts.append(f'<line x1="{at}" y1="{top}" x2="{at}" y2="{height - 34}" stroke="#7d8590" stroke-opacity=".25"/>')
        parts.append(f'<text x="{at}" y="{height - 16}" text-anchor="middle" font-size="12">{tick}%</text>')
    for i, row in enumerate(groups):
        y, colour = top + step * i + step / 2, COLOURS.get(row.init, "#6b7280")
        before, after = (side["sampled"] if side else None for side in (row.start, row.rl))
        parts.append(f'<text x="12" y="{y + 5}" font-weight="600" fill="{colour}">{row.init}</text>')
        if not (before and after):
            continue
        parts.append(
            f'<line x1="{x(before.value):.1f}" y1="{y}" x2="{x(after.value):.1f}" y2="{y}" stroke="{colour}" '
            'stroke-width="3" stroke-opacity=".5"/>'
        )
        for e in (before, after):
            parts.append(f'<line x1="{x(e.low):.1f}" y1="{y}" x2="{x(e.high):.1f}" y2="{y}" stroke="{colour}"/>')
            for end in (e.low, e.high):
                parts.append(f'<line x1="{x(end):.1f}" y1="{y - 5}" x2="{x(end):.1f}" y2="{y + 5}" stroke="{colour}"/>')
        hollow = f'<circle cx="{x(before.value):.1f}" cy="{y}" r="6" fill="#fff" stroke="{colour}" stroke-width="2"/>'
        parts.append(hollow + f'<circle cx="{x(after.value):.1f}" cy="{y}" r="7" fill="{colour}"/>')
        parts.append(f'<text x="{x(after.high) + 10:.1f}" y="{y + 5}" font-size="13">{after.value:.0%}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    if given.svg:
        write_text(given.svg, svg(collect(given.run)))
    else:
        print("\n".join(tables(collect(given.run))))
