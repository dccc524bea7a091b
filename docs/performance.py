"""The tables and the picture of docs/performance.md, from what `octo bench` measured:

octo bench --json > bench.json && python docs/performance.py bench.json
octo bench --curves --json > curves.json && python docs/performance.py curves.json --svg docs/performance.svg
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from octothinker.cli.units import amount
from octothinker.records import read_json, write_text

Row = dict[str, Any]
WIDTH, HEIGHT, LEFT, TOP = 300, 190, 60, 34  # of a panel's drawing, and the room around it
COLOURS = {"ours": "#1a6fb5", "theirs": "#c25b12", "floor": "#999999"}


def table(rows: list[Row]) -> Iterator[str]:
    yield "| work | against, its best setting | ours | theirs | ratio (pairs) | reach | floor, our share | peak MB |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        peer = f"{row['peer'] or ''}{', ' + row['setting'] if row['setting'] else ''}{', missing' * ('missing' in row)}"
        ratio = f"**{row['ratio']:.2f}** ({row['spread'][0]:.2f} to {row['spread'][1]:.2f})" if row["ratio"] else ""
        floor = f"{amount(row['floor'])} ({row['bound']}), {row['ours'] / row['floor']:.0%}" if row["floor"] else ""
        memory = " / ".join(f"{mb:,}" for mb in row["peak_mb"] if mb is not None)
        theirs = amount(row["theirs"]) if row["theirs"] else ""
        reach = f"{row['reach']:g}" if row["reach"] else ""
        yield (
            f"| {row['work']} | {peer} | {amount(row['ours'])} {row['unit']} | {theirs} | {ratio} | {reach} | {floor} "
            f"| {memory} |"
        )


def picture(rows: list[Row]) -> str:
    """A panel a curve, both axes logarithmic: ours, the peer's, the floor."""
    curves: dict[str, list[Row]] = {}
    for row in rows:
        if "curve" in row:
            curves.setdefault(row["curve"], []).append(row)
    down = math.ceil(len(curves) / 2)
    cell, tall = WIDTH + LEFT + 30, HEIGHT + TOP + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * cell} {down * tall}" '
        'font-family="sans-serif" font-size="11" fill="#333"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for i, (name, points) in enumerate(curves.items()):
        parts += [
            f'<g transform="translate({i % 2 * cell + LEFT},{i // 2 * tall + TOP})">',
            *panel(name, points),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(name: str, points: list[Row]) -> Iterator[str]:
    values = [p[line] for p in points for line in COLOURS if p[line]]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log(points[0]["x"]), math.log(points[-1]["x"])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - first) / (last - first) * WIDTH
        return across, HEIGHT - (math.log10(y) - low) / (high - low) * HEIGHT

    yield f'<text y="-14" font-weight="bold">{escape(name)}</text>'
    for power in range(low, high + 1):
        y = place(points[0]["x"], 10.0**power)[1]
        yield f'<line x2="{WIDTH}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
        yield f'<text x="-6" y="{y + 4:.0f}" text-anchor="end">{amount(10.0**power)}</text>'
    for point in points:
        x = place(point["x"], 10.0**low)[0]
        yield f'<text x="{x:.0f}" y="{HEIGHT + 16}" text-anchor="middle">{point["x"]:g}</text>'
    for i, (line, colour) in enumerate(COLOURS.items()):
        drawn = [place(p["x"], p[line]) for p in points if p[line]]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn)
        label = points[0]["peer"] if line == "theirs" else line
        yield f'<text x="{WIDTH - 4}" y="{HEIGHT - 8 - 13 * i}" text-anchor="end" fill="{colour}">{label}</text>'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, metavar="ROWS.json")
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    measured = read_json(given.rows)
    print("\n".join(table(measured)))
    if given.svg:
        write_text(given.svg, picture(measured))
