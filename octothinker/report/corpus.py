"""One page about a corpus that opens offline: `write_report(folder)` -> DIR/report.html.

The funnel from pages to tokens, why documents were dropped, samples of each reason and of what was kept, rewrites beside their
sources, formula kinds, yields by year and source. Built from ledgers and manifests alone, so it can be made while the corpus is;
every text is escaped, and the page's policy allows no script and no request.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from octothinker.records import read_json, write_text
from octothinker.typed import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
TOKENS = "tokens by "
SHOWN_ROWS = 40
"""Rows of a table of counts; the rest are added up."""


def write_report(folder: Path) -> Path:
    """Read the corpus in `folder`, finished or not, and write `folder/report.html` atomically; returns its path."""
    out = folder / "report.html"
    write_text(out, page(folder))
    return out


def page(folder: Path) -> str:
    if not (folder / "corpus.json").is_file():
        raise ConfigError(f"{folder} is no run folder of a corpus: it has no corpus.json")
    steps, waiting = _steps(folder)
    env = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    env.filters |= {"count": _count, "percent": _percent, "duration": _duration}
    recipe = read_json(folder / "corpus.json")
    return env.get_template("corpus.html").render(
        recipe=recipe,
        recipe_text=json.dumps(recipe, indent=1, ensure_ascii=False),
        steps=steps,
        waiting=waiting,
        widest=max([s["in"]["documents"] for s in steps] + [s["written"]["documents"] for s in steps], default=1) or 1,
        tables=_tables(steps),
        tokens=[s for s in steps if any(name.startswith(TOKENS) for name in s["counts"])],
        facts=_facts(folder),
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 our own file
        own_css=Markup((TEMPLATES / "corpus.css").read_text(encoding="utf-8")),  # noqa: S704 likewise
    )


def _steps(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What each finished step did, in the order of the graph, and the names of those that are not done."""
    steps, waiting = [], []
    for row in read_json(folder / "plan.json"):
        place = folder / row["folder"]
        if not (place / "manifest.json").exists():
            waiting.append(row["name"])
            continue
        if not (place / "ledger.json").exists():  # a classifier, questions: they make no documents
            continue
        ledger, manifest = read_json(place / "ledger.json"), read_json(place / "manifest.json")
        order = sorted(ledger["dropped"].items(), key=lambda item: (-item[1]["documents"], item[0]))
        more = {
            k: v
            for k, v in manifest["result"].items()
            if k not in ("documents", "characters", "of_documents", "dropped")
        }
        steps.append(
            {
                "name": row["name"],
                "after": row["inputs"].get("documents", ""),
                "seconds": manifest["seconds"],
                "tokens": manifest["result"].get("tokens"),
                "reasons": [
                    {"name": name, **number, "samples": ledger["samples"].get(name, [])} for name, number in order
                ],
                "kept_samples": ledger["samples"].get("", []),
                "more": more,
                **{key: ledger[key] for key in ("in", "kept", "written", "counts")},
            }
        )
    return steps, waiting


def _tables(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts by year, source, formula kind, …: a row a value, a column a step that counted it."""
    names = dict.fromkeys(name for step in steps for name in step["counts"] if not name.startswith(TOKENS))
    tables = []
    for name in names:
        columns = [step for step in steps if name in step["counts"]]
        values = sorted({value for step in columns for value in step["counts"][name]})
        most = {value: max(step["counts"][name].get(value, 0) for step in columns) for value in values}
        shown = sorted(sorted(values, key=lambda v: -most[v])[:SHOWN_ROWS])
        rows = [(value, [step["counts"][name].get(value, 0) for step in columns]) for value in shown]
        rest = [value for value in values if value not in shown]
        if rest:
            rows.append((f"{len(rest)} more", [sum(step["counts"][name].get(v, 0) for v in rest) for step in columns]))
        tables.append({"name": name, "columns": [step["name"] for step in columns], "rows": rows})
    return tables


def _facts(folder: Path) -> dict[str, str]:
    run = read_json(folder / "run.json") if (folder / "run.json").exists() else {}
    said = {key: str(run[key]) for key in ("version", "commit", "python", "platform", "cpu") if run.get(key)}
    if run.get("seconds"):
        said["time"] = _duration(run["seconds"])
    if run.get("argv"):
        said["command"] = shlex.join(run["argv"])
    return said


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}%"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min {rest} s"
        if minutes
        else f"{seconds:.1f} s"
    )
