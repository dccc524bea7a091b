"""One HTML file that opens offline: `write_report(folder)` -> OUT/report.html.

Everything is inlined (plotly.js from the `plotly` package, one stylesheet, one script). Text that a model wrote is only
ever placed by Jinja with autoescape on; the charts' JSON has `<`, `>`, `&` and `'` as \\u escapes. As a second wall the
page's Content-Security-Policy allows no request at all and no script but the two whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from octothinker.insight.compare import RULE, Estimate, difference, estimate
from octothinker.records import write_text
from octothinker.report import figures
from octothinker.report.claims import UNTESTED, claims
from octothinker.report.collect import Run, collect
from octothinker.report.summary import headline, rows, tallies

TEMPLATES = Path(__file__).parent / "templates"
NONE = "\u2013"
LONGEST_TEXT = 4_000
"""Characters of an answer that are shown; of a longer one the beginning and the end."""


def write_report(folder: Path) -> Path:
    """Read the run in `folder`, finished or not, and write `folder/report.html` atomically; returns its path."""
    out = folder / "report.html"
    write_text(out, page(collect(folder)))
    return out


def page(run: Run) -> str:
    """The report of a run as one HTML document."""
    table = rows(run)
    styles = figures.models(run)
    plots = figures.charts(run, table)
    scripts = [_script((Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")),
               _script((TEMPLATES / "report.js").read_text(encoding="utf-8"))]  # fmt: skip
    env = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    env.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    env.filters |= {"percent": _percent, "points": _points, "gap": _gap}
    env.filters |= {"tokens": _tokens, "duration": _duration, "count": _count}
    return env.get_template("report.html").render(
        run=run,
        experiment=run.experiment,
        headline=headline(run, table),
        table=table,
        styles=styles,
        style_of={m["name"]: i for i, m in enumerate(styles)},
        charts=plots,
        chart_data={"models": styles, "charts": plots},
        main_charts=[f"rl-{name}" for name, *_ in figures.MAIN],
        more_charts=[f"rl-{name}" for name, *_ in figures.MORE],
        levels=_matrix(run, run.main_set, run.levels) if len(run.levels) > 1 else [],
        level_heads=[f"level {level}" for level in run.levels],
        sets=[(name, _matrix(run, name, [None])) for name in run.experiment.eval.problems[1:]],
        claims=claims(run, table),
        untested=UNTESTED,
        rule=RULE,
        mixtures=_mixtures(run),
        schedule=_schedule(run),
        transcripts=_transcripts(run),
        facts=_facts(run),
        recipe=json.dumps(run.recipe, indent=1, ensure_ascii=False),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 our own file
        scripts=scripts,
        policy=" ".join("'sha256-" + _sha256(script) + "'" for script in scripts),
    )


def _script(text: str) -> Markup:
    """A script of ours or plotly's to be inlined; refuses what would end the element early or change its hash."""
    if re.search(r"</script|<!--|\r", text, re.IGNORECASE):
        raise ValueError("a script to be inlined contains </script, <!-- or a carriage return")
    return Markup(text)  # noqa: S704 our own file, or a pinned package's


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# ---- what the tables show --------------------------------------------------------------------------------------------


def _matrix(run: Run, problems: str, levels: list[Any]) -> list[dict[str, Any]]:
    """For each model and level (None: all): sampled accuracy before and after RL and the gain, over its seeds."""
    out = []
    for init in run.inits:
        cells = []
        for level in levels:
            seeds = run.experiment.seeds
            both = [s for s in seeds if (init, s) in run.evals and (init, s) in run.after_rl] or list(seeds)
            sides = [tallies(group, init, both, problems, "sampled") for group in (run.evals, run.after_rl)]
            cut = [[t.at([level]) if level is not None else t for t in side] if side else None for side in sides]
            before, after = (estimate(side) if side else None for side in cut)
            gain = difference(cut[1], cut[0]) if cut[0] and cut[1] else None
            n = len({i for side in cut for t in side or [] for i in t.ids})
            cells.append({"level": level, "n": n, "before": before, "after": after, "gain": gain})
        out.append({"init": init, "cells": cells})
    return out


def _mixtures(run: Run) -> dict[str, Any]:
    """Sources by mid-training stages: share wanted, share realised (the seed furthest from it), epochs."""
    stages: list[dict[str, Any]] = []
    for stage in run.experiment.midtrain:
        views = [view for view in run.of_kind("midtrain") if view.init == stage.name]
        results = [view.manifest["result"] for view in views if view.manifest]
        cells: dict[str, dict[str, float | None]] = {}
        for source, wanted in stage.mixture.items():
            got = [r["shares"][source] for r in results if source in r.get("shares", {})]
            epochs = [r["epochs"][source] for r in results if source in r.get("epochs", {})]
            furthest = max(got, key=lambda share: abs(share - wanted), default=None)
            cells[source] = {"wanted": wanted, "got": furthest, "epochs": max(epochs, default=None)}
        loss = [r["loss"] for r in results if r.get("loss") is not None]
        stages.append({"config": stage, "cells": cells, "loss": sum(loss) / len(loss) if loss else None})
    sources = [name for name in run.experiment.sources if any(name in s["cells"] for s in stages)]
    return {"sources": sources, "stages": stages}


def _schedule(run: Run) -> str:
    """The response-length schedule in words."""
    if not run.experiment.rl:
        return ""
    length = run.experiment.rl.length
    text = ", then ".join(f"{limit} tokens from step {first}" for first, limit in length.limits)
    if length.adaptive_truncation is not None:
        text += f"; the next limit comes as soon as {length.adaptive_truncation:.0%} of the answers are cut off"
    return text


def _transcripts(run: Run) -> list[dict[str, Any]]:
    """The shown problems, each with the first sampled answer of every model before and after RL, of the first seed."""
    seed = run.experiment.seeds[0]
    sides = [("before RL", run.evals), ("after RL", run.after_rl)]
    shown = next((group[init, seed].shown for _, group in sides for init in run.inits if (init, seed) in group), {})
    out = []
    for (name, problem), row in shown.items():
        if name != run.main_set:
            continue
        answers = []
        for init in run.inits:
            found = {when: group[init, seed].shown.get((name, problem)) if (init, seed) in group else None
                     for when, group in sides}  # fmt: skip
            answers.append({"init": init, "sides": {when: r and _answer(r) for when, r in found.items()}})
        out.append({key: row[key] for key in ("id", "level", "question", "gold")} | {"answers": answers})
    return out


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    text = row["response"]
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n\n[… {len(text) - 2 * half:,} characters left out …]\n\n{text[-half:]}"
    mark = {True: "right", False: "wrong", None: "ungraded"}[row["correct"]]
    return {"text": text, "mark": mark, "kind": row["kind"], "tokens": row["tokens"], "cut": row["finish"] == "length"}


def _facts(run: Run) -> dict[str, str]:
    """run.json for people."""
    said: dict[str, str] = {"seeds": ", ".join(map(str, run.experiment.seeds))}
    for name, value in run.info.items():
        if name == "started":
            value = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")
        elif name == "seconds":
            name, value = "time", _duration(value)
        elif name == "argv":
            name, value = "command", shlex.join(value)
        said[name] = str(value)
    return said


# ---- how numbers are written -----------------------------------------------------------------------------------------


def _percent(value: Estimate | float | None, digits: int = 1) -> str:
    number = value.value if isinstance(value, Estimate) else value
    return NONE if number is None else f"{number * 100:.{digits}f}%"


def _points(value: Estimate | None) -> str:
    return NONE if value is None else f"{value.value * 100:+.1f}"


def _gap(value: Estimate | None, scale: float = 100.0) -> str:
    """The interval, `[10.2, 14.8]`."""
    return "" if value is None else f"[{value.low * scale:.1f}, {value.high * scale:.1f}]"


def _tokens(value: Estimate | None) -> str:
    return NONE if value is None else f"{value.value:,.0f}"


def _count(value: float | None) -> str:
    """`512`, `81.9k`, `20.0M`, `1.2B`."""
    if value is None:
        return NONE
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.1f}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
