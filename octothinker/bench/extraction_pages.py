"""Pages with known formulas, as nine kinds of site would ship them, built from what real renderers give.

Before and after each formula stand words that occur once, so that any extractor's output can be cut at them.
"""

from __future__ import annotations

import html
import json
import os
import subprocess
import zlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

PACKAGES = ("katex@0.19.1", "temml@0.13.5", "mathjax-full@3.2.2", "mathjax-node@2.1.1")
PER_PAGE = 12
MATHML = '<math xmlns="http://www.w3.org/1998/Math/MathML"'


class Case(NamedTuple):
    tex: str
    display: bool


class Sheet(NamedTuple):
    """A page and the formulas in it, by the number in their marks."""

    html: str
    cases: dict[int, Case]


def cases() -> list[Case]:
    """The formulas of formulas.txt; every third is set apart."""
    text = files("octothinker.bench").joinpath("formulas.txt").read_text(encoding="utf-8")
    return [Case(tex, i % 3 == 2) for i, tex in enumerate(text.splitlines())]


class NoRenderer(RuntimeError):
    """Node.js or npm is missing, or the install failed; the message says what to do."""


def renderers(say: Callable[[str], None]) -> Path:
    """The folder with the renderers' npm packages, installed into the user's cache the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "octothinker" / "renderers"
    stamp = cache / ("-".join(PACKAGES).replace("/", "_") + ".installed")
    if stamp.exists():
        return cache
    cache.mkdir(parents=True, exist_ok=True)
    say(f"npm install {' '.join(PACKAGES)} in {cache}")
    try:
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(cache), *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise NoRenderer(f"the renderers need Node.js and npm: {str(detail).strip()[-300:]}") from error
    stamp.touch()
    return cache


def node(folder: Path, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers of render.js, in order."""
    script = files("octothinker.bench").joinpath("render.js")
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    try:
        done = subprocess.run(
            ["node", str(script), str(folder)], input=lines, capture_output=True, text=True, timeout=1800
        )
    except OSError as error:
        raise NoRenderer(f"the renderers need Node.js: {error}") from error
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    if len(answers) != len(requests):
        raise NoRenderer(f"render.js gave {len(answers)} of {len(requests)} answers: {done.stderr[-500:]}")
    return answers


# ---- how a site ships one formula -------------------------------------------------------------------------------------


def _katex(case: Case, drawn: dict[str, str]) -> str:
    return drawn["katex"]


def _annotated(case: Case, drawn: dict[str, str]) -> str:
    return drawn["temml"]


def _wikipedia(case: Case, drawn: dict[str, str]) -> str:
    """As MediaWiki writes it: hidden MathML with an annotation, the wrapper in it, and a picture to fall back on."""
    mode = "display" if case.display else "inline"
    wrapped = html.escape(f"{{\\displaystyle {case.tex}}}")
    inner = drawn["temml_bare"][drawn["temml_bare"].index(">") + 1 : -len("</math>")]
    shown = "block" if case.display else "inline"
    note = f'<annotation encoding="application/x-tex">{wrapped}</annotation>'
    mathml = (
        f'{MATHML} display="{shown}" alttext="{wrapped}"><semantics><mrow class="MJX-TeXAtom-ORD">'
        f'<mstyle displaystyle="true" scriptlevel="0">{inner}</mstyle></mrow>{note}</semantics></math>'
    )
    address = f"https://wikimedia.org/api/rest_v1/media/math/render/svg/{zlib.crc32(case.tex.encode()):08x}"
    picture = (
        f'<img src="{address}" class="mwe-math-fallback-image-{mode} mw-invert" aria-hidden="true" alt="{wrapped}">'
    )
    hidden = f'<span class="mwe-math-mathml-{mode} mwe-math-mathml-a11y" style="display: none;">{mathml}</span>'
    return f'<span class="mwe-math-element mwe-math-element-{mode}">{hidden}{picture}</span>'


def _mathjax2(case: Case, drawn: dict[str, str]) -> str:
    kind = "math/tex; mode=display" if case.display else "math/tex"
    html2 = drawn.get("mathjax2", "")
    rendered = f'<span class="MathJax_CHTML" tabindex="0">{html2}</span>' if html2 else ""
    return f'<span class="MathJax_Preview"></span>{rendered}<script type="{kind}">{case.tex}</script>'


def _wordpress(case: Case, drawn: dict[str, str]) -> str:
    alt = html.escape(case.tex)
    address = f"https://s0.wp.com/latex.php?latex={quote_plus(case.tex)}&#038;bg=ffffff&#038;fg=333333&#038;s=0&#038;c=20201002"
    return f'<img src="{address}" alt="{alt}" class="latex" />'


def _codecogs(case: Case, drawn: dict[str, str]) -> str:
    tex = quote(case.tex, safe="\\{}^_=+-()[],.!*'/;:|<>").replace("%20", "&space;")
    return f'<img src="{html.escape(f"https://latex.codecogs.com/gif.latex?{tex}")}" title="" border="0" />'


def _mathml_katex(case: Case, drawn: dict[str, str]) -> str:
    text = drawn["katex_mathml"]
    start, end = text.index("<annotation"), text.index("</annotation>") + len("</annotation>")
    return text[:start] + text[end:]


def _mathml_temml(case: Case, drawn: dict[str, str]) -> str:
    return drawn["temml_bare"]


def _mathjax3(case: Case, drawn: dict[str, str]) -> str:
    return drawn["mathjax3"]


def _delimited(case: Case, drawn: dict[str, str]) -> str:
    return html.escape(f"\\[{case.tex}\\]" if case.display else f"\\({case.tex}\\)")


Ship = Callable[[Case, dict[str, str]], str]
WITH_TEX: dict[str, Ship] = {
    "KaTeX": _katex,
    "MathML + annotation": _annotated,
    "Wikipedia": _wikipedia,
    "MathJax 2": _mathjax2,
    "WordPress image": _wordpress,
    "codecogs image": _codecogs,
}
WITHOUT_TEX: dict[str, Ship] = {
    "MathML (KaTeX's)": _mathml_katex,
    "MathML (Temml's)": _mathml_temml,
    "MathJax 3": _mathjax3,
}
UNRENDERED: dict[str, Ship] = {
    "delimiters": _delimited,
    "MathJax 2 script": _mathjax2,
    "WordPress image": _wordpress,
    "codecogs image": _codecogs,
}
"""What needs no renderer: the smoke run."""

SENTENCES = (
    "The following relation holds whenever both sides are defined, as one sees by a short computation.",
    "We shall use this several times in the rest of the chapter without further mention.",
    "A reader who has not met the notation before may want to try a few small values first.",
    "This was noticed long before anybody could prove it in the general case.",
    "The proof is left as an exercise; it needs nothing beyond what has been said so far.",
)
MENU = "".join(
    f'<li><a href="/{name}.html">{name.title()}</a></li>'
    for name in ("home", "lessons", "exercises", "forum", "about", "contact")
)


def mark(number: int) -> tuple[str, str]:
    """Words around formula `number`."""
    return f"openmark{number}x", f"shutmark{number}x"


def sheets(ship: Ship, all_cases: list[Case], drawn: list[dict[str, str]]) -> Iterator[Sheet]:
    """The formulas as pages of a site with a menu, headings, prose and a footer."""
    for start in range(0, len(all_cases), PER_PAGE):
        held = {i: all_cases[i] for i in range(start, min(start + PER_PAGE, len(all_cases)))}
        parts = []
        for i, case in held.items():
            before, after = mark(i)
            formula = ship(case, drawn[i])
            sentence = SENTENCES[i % len(SENTENCES)]
            parts.append(
                f"<p>{sentence} Look at {before}</p><div>{formula}</div><p>{after} again. {sentence}</p>"
                if case.display
                else f"<p>{sentence} Look at {before} {formula} {after} again. {sentence}</p>"
            )
        yield Sheet(
            "<!DOCTYPE html><html><head><meta charset='utf-8'><title>Lesson</title></head><body>"
            f"<nav><ul>{MENU}</ul></nav><main><h1>Lesson {start // PER_PAGE + 1}</h1>{''.join(parts)}</main>"
            f"<footer><p>Copyright the authors</p><ul>{MENU}</ul></footer></body></html>",
            held,
        )
