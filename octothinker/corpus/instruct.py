"""Instructions for a chat model: files under prompts/, each replaceable by a file of one's own, filled with text of strangers."""

from __future__ import annotations

import re
from pathlib import Path

from octothinker.corpus.llm import whole
from octothinker.typed import check, suggest

FOLDER = Path(__file__).with_name("prompts")
CUT = "\n[... cut ...]\n"


def instruction(name: str) -> str:
    """The text of one that ships (`annotate`), or of a file (`./mine.txt`). Configs hold the text: it is what counts."""
    file = FOLDER / f"{name}.txt" if re.fullmatch(r"\w+", name) else Path(name).expanduser()
    known = [f.stem for f in FOLDER.glob("*.txt")]
    check(file.is_file(), f"instruction {name!r}: no such file, nor one that ships{suggest(name, known)}")
    return file.read_text(encoding="utf-8").strip()


def require(where: str, template: str, *names: str) -> None:
    """ConfigError unless the template has a place for each of these."""
    for name in names:
        check(f"{{{name}}}" in template, f"{where}: the instruction has no {{{name}}} in it")


def fill(template: str, **fields: str) -> str:
    """`{name}` replaced by the field's text; other braces stay, and what the text brings along is not filled in again."""
    return re.sub(r"\{(\w+)\}", lambda match: fields.get(match[1], match[0]), template)


def quoted(text: str) -> str:
    """A stranger's text as it stands between <document> tags: it can neither close them nor open a turn of its own in the
    chat formats that mark turns with <|words|>."""
    text = re.sub(r"<(/?\s*document\b)", r"< \1", whole(text), flags=re.IGNORECASE)
    return re.sub(r"<\|([^|<>\s]{1,40})\|>", r"<| \1 |>", text)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters (and the mark): the first two thirds and the last third of that, cut at the ends of lines
    where one is near. A page's worth shows at its beginning; its end tells lesson from list of links."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 2 // 3], text[len(text) - limit // 3 :]
    head = head[: end + 1] if (end := head.rfind("\n")) > len(head) * 0.8 else head
    tail = tail[start + 1 :] if 0 <= (start := tail.find("\n")) < len(tail) * 0.2 else tail
    return head + CUT + tail
