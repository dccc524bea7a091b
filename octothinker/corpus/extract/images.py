"""Formulas that a site ships as pictures: their TeX stands in the alternative text, the title or the address."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

from octothinker.corpus.extract.page import Formula
from octothinker.corpus.extract.texts import clean

CLASSES = re.compile(
    r"\b(?:latex|tex|math|mathimg|formula(?:Inl|Dsp)|mwe-math-fallback-image\S*|ql-img-\S+|Wirisformula|equation\S*|texrender|"
    r"mathtex\S*|ee_img|tr_noresize|eq|inlinemath|displaymath|latexmath|math-tex|imgmath|LaTeX)\b"
)
ADDRESS = re.compile(
    r"latex\.php\?(?:.*?&)?latex=(?P<wordpress>[^&]*)"
    r"|latex\.codecogs\.com/(?:[a-z.]+(?:/[a-z]+)?\.(?:latex|download)|(?:gif|png|svg|pdf|eqnedit)[.\w]*)\?(?P<codecogs>.*)"
    r"|(?:mimetex|mathtex)\.cgi\?(?P<cgi>.*)"
    r"|chart\.(?:googleapis|apis\.google)\.com/chart\?.*?chl=(?P<google>[^&]*)"
    r"|(?:zhihu\.com/equation|/equation)\?tex=(?P<zhihu>[^&]*)"
    r"|/(?:render/)?math\?(?:.*?&)?(?:math|tex|formula|from)=(?P<github>[^&]*)"
    r"|s0\.wp\.com/latex\.php\?latex=(?P<wp>[^&]*)"
    r"|(?:quicklatex|i\.upmath\.me/(?:svg|png)|math\.vercel\.app/?\?from)[/=](?P<upmath>.*)",
    re.I,
)
PATHS = re.compile(r"imgmath/|/math/[0-9a-f]{20,}|_images/math/|/form_\d+\.(?:png|svg)|wikimedia\.org/api/rest_v1/media/math")
SIZE = re.compile(r"^(?:\\(?:dpi|bg|fg|fn)(?:_\w+|\{[^}]*\})|\\(?:inline|large|Large|LARGE|huge|small|tiny|opaque)\b|\\usefont\{[^}]*\}|\\color\{[^}]*\})\s*")
PREFIX = re.compile(r"^(?:latex|tex|math|formula|equation)\s*:\s*", re.I)


def formula(given: dict[str, str]) -> Formula | None:
    """The formula of an `img` by its attributes; None for a picture."""
    sources = [given.get(name, "") for name in ("src", "data-src", "data-lazy-src", "data-original", "srcset", "data-srcset")]
    classes, alt = given.get("class", ""), given.get("alt", "")
    tex = given.get("data-tex") or given.get("data-latex") or given.get("data-formula") or ""
    by_class = bool(classes) and CLASSES.search(classes) is not None
    found = None
    for source in sources:
        if tex or not source or len(source) > 20_000 or source.startswith("data:"):
            continue
        found = ADDRESS.search(source)
        if found:
            name = found.lastgroup or ""
            plus = name in ("codecogs", "cgi", "upmath")  # there a plus is a plus
            tex = unquote(found[name]).replace("&space;", " ") if plus else unquote_plus(found[name])
            break
        by_class = by_class or PATHS.search(source) is not None
    if not tex and (by_class or given.get("eeimg")):
        tex = alt or given.get("title", "")
        tex = "" if re.fullmatch(r"[\w./-]+\.(?:png|gif|svg|jpe?g)", tex) else tex
    if not tex and alt and re.match(r"\s*(\$\$?).+\1\s*$|\s*\\[\[(].+\\[)\]]\s*$", alt, re.S):
        tex = alt
    if not tex.strip():
        return None
    shown = tex.strip().startswith(("$$", "\\[")) or any(word in classes for word in ("Dsp", "display", "block"))
    return Formula(tidy(tex), shown, "image") if tidy(tex) else None


def tidy(tex: str) -> str:
    """Without the settings of the picture: `\\dpi{120} \\bg_white`, `\\inline`, `tex:`."""
    tex = PREFIX.sub("", tex.strip())
    before = None
    while before != tex:
        before, tex = tex, SIZE.sub("", tex)
    return clean(tex)
