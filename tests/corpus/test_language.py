"""English with formulas is English."""

from __future__ import annotations

import pytest
from datatrove.data import Document

from octothinker.corpus.config import Language
from octothinker.corpus.language import LanguageJudge, plain
from octothinker.typed import ConfigError

MATHS = (
    r"Let $\alpha_{1} \in \mathbb{Z}[x]$ and $$\sum_{k=0}^{n} \binom{n}{k} x^k y^{n-k} = (x+y)^n.$$ "
    r"Then \(f \circ g = \mathrm{id}\) and the proof is complete. $$\int_0^1 \frac{dx}{1+x^2} = \frac{\pi}{4}$$"
) * 3


def judge(text: str, **config: object) -> tuple[str | None, dict[str, object]]:
    pytest.importorskip("fasttext")
    document = Document(text=text, id="d")
    try:
        decide = LanguageJudge(Language(**config))  # type: ignore[arg-type]
    except ConfigError as error:
        pytest.skip(str(error))
    return decide(document), document.metadata


def test_formulas_are_not_read_as_language() -> None:
    reason, metadata = judge(MATHS)
    assert reason is None and metadata["language"] == "en"
    assert "alpha" not in plain(MATHS, 500) and "Then" in plain(MATHS, 500)
    assert len(plain(MATHS * 1000, 700)) <= 700


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Die Summe der ersten ungeraden Zahlen ist stets eine Quadratzahl, wie man leicht sieht und beweist.",
            "not_en",
        ),
        ("$x^2$ 12 + 30 = 42", "no_prose"),
    ],
)
def test_what_is_dropped_and_why(text: str, reason: str) -> None:
    assert judge(text)[0] == reason


def test_other_languages_can_be_wanted_and_doubt_is_a_reason() -> None:
    german = "Die Summe der ersten ungeraden Zahlen ist stets eine Quadratzahl, wie man leicht sieht und beweist."
    assert judge(german, keep=("de", "en"))[0] is None
    assert judge(german, keep=("de",), minimum=1.01)[0] == "language_unsure"


def test_a_missing_model_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match=r"language.model='no.ftz': no such file"):
        LanguageJudge(Language(model="no.ftz"))
