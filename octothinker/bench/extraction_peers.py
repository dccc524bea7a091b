"""Other extractors, each as a function HTML -> text, in the setting that keeps most formulas; those that are here."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable

Extractor = Callable[[str], str]
OURS = "octothinker"


def ours(html: str) -> str:
    from octothinker.corpus.extract import PageError, extract

    try:
        return extract(html).text
    except PageError:
        return ""


def _resiliparse(main: bool) -> Extractor:
    def extract(html: str) -> str:
        from resiliparse.extract.html2text import extract_plain_text

        return str(extract_plain_text(html, main_content=main, alt_texts=True))

    return extract


def _trafilatura(html: str) -> str:
    import trafilatura

    return trafilatura.extract(html, favor_recall=True, include_images=True) or ""


def _html2text(html: str) -> str:
    import html2text

    reader = html2text.HTML2Text(bodywidth=0)
    reader.ignore_links = True
    return reader.handle(html)


def _lynx(html: str) -> str:
    command = [
        "lynx",
        "-dump",
        "-stdin",
        "-nolist",
        "-width=10000",
        "-force_html",
        "-display_charset=utf-8",
        "-assume_charset=utf-8",
    ]
    return subprocess.run(
        command, input=html.encode("utf-8", "replace"), capture_output=True, timeout=120
    ).stdout.decode("utf-8", "replace")


def peers() -> tuple[dict[str, Extractor], dict[str, str]]:
    """Name -> extractor of those installed; name -> how to get it of the others."""
    known = {
        "resiliparse, main content": (_resiliparse(True), "resiliparse"),
        "resiliparse, all text": (_resiliparse(False), "resiliparse"),
        "trafilatura, recall": (_trafilatura, "trafilatura"),
        "html2text": (_html2text, "html2text"),
    }
    here = {name: run for name, (run, module) in known.items() if importlib.util.find_spec(module)}
    missing = {name: f"pip install {module}" for name, (_, module) in known.items() if name not in here}
    if shutil.which("lynx"):
        here["lynx -dump"] = _lynx
    else:
        missing["lynx -dump"] = "apt-get install lynx"
    return here, missing
