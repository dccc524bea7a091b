"""What a policy under pressure writes: nothing here may be rewarded, hang, crash the grader, or be run.

Each case was a hole in some public grader, or is the obvious next try. (gold, whole response)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octothinker.bench import hostile
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import Item

NEST = 200
TRIG = "\\sin x+\\cos y"  # a gold that the exact path cannot evaluate: answers to it may reach math-verify


def b(answer: str) -> str:
    return "\\boxed{" + answer + "}"


RESPONSES = {
    # no complete box
    "truncated box": ("5", "so \\boxed{5"),
    "box opened again after": ("5", "\\boxed{6} wait \\boxed{5"),
    "box without braces": ("5", "\\boxed 5"),
    "answer beside an empty box": ("5", "5 \\boxed{}"),
    "answer after the box": ("5", "\\boxed{4} so 5"),
    "first box right, last wrong": ("5", "\\boxed{5} no: \\boxed{6}"),
    "other box": ("5", "\\fbox{5} \\framebox{5}"),
    "the word": ("5", "boxed{5}"),
    "full-width braces": ("5", "\\boxed\uff5b5\uff5d"),
    "in a comment": ("5", "\\boxed%{5}"),
    "all answers in one box": ("5", b(",".join(map(str, range(100))))),
    "all answers as text": ("5", b(" or ".join(map(str, range(20))))),
    "a box of boxes": ("5", b("1" + b("5") + b("6"))),
    # size
    "megabyte of digits": ("5", b("5" * 1_000_000)),
    "megabyte of braces": ("5", "\\boxed{" * 150_000 + "5"),
    "megabyte in a box": ("5", b("5" + " " * 10 + "x" * 1_000_000)),
    "deep braces": ("5", b("{" * NEST + "5" + "}" * NEST)),
    "deep brackets": ("5", b("(" * NEST + "5" + ")" * NEST)),
    "deep fractions": ("5", b("\\frac{" * NEST + "5" + "}{1}" * NEST)),
    "deep roots": (TRIG, b("\\sqrt{" * 60 + "2" + "}" * 60)),
    "deep roots of a letter": (TRIG, b("\\sqrt{" * 11 + "x" + "}" * 11)),
    "many plusses": ("5", b("+" * 399 + "6")),
    "many minuses": ("5", b("-" * 101 + "5")),
    "long sum": ("100", b("+".join(["1"] * 100))),
    "long sum of sines": (TRIG, b("+".join(["\\sin x"] * 40))),
    "huge matrix": ("5", b("\\begin{pmatrix}" + "1&" * 150 + "1\\end{pmatrix}")),
    # towers, factorials, heavy operators
    "tower": (TRIG, b("9^{9^{9^{9}}}")),
    "bare tower": (TRIG, b("9^9^9^9")),
    "tower for a number": ("5", b("9^{9^{9^{9}}}")),
    "big exponent": (TRIG, b("2^{99999999}")),
    "big exponent for a number": ("5", b("2^{99999999}")),
    "exponent of exponents": (TRIG, b("(((((2^{99})^{99})^{99})^{99})^{99})")),
    "negative exponents": ("5", b("2^{-99999999}")),
    "big letter power": (TRIG, b("(x+y+z)^{999}")),
    "product of powers": (TRIG, b("(a+b+c)^{12}(a-b+c)^{12}(a+b-c)^{12}")),
    "rational powers": (TRIG, b("(x+1)^{999/998}")),
    "scientific": ("5", b("5e999999999")),
    "factorial": (TRIG, b("99999999!")),
    "factorial for a number": ("5", b("99999999!")),
    "double factorial": (TRIG, b("((100!)!)!")),
    "factorial of a sum": (TRIG, b("(9+99999)!")),
    "sum to infinity": ("2", b("\\sum_{n=0}^{\\infty} 2^{-n}")),
    "product": (TRIG, b("\\prod_{n=1}^{10000000} n")),
    "integral": (TRIG, b("\\int_0^{100} \\sin(\\sin(\\sin(x^x))) dx")),
    "limit": (TRIG, b("\\lim_{x\\to 0} \\frac{\\sin x^{99}}{x^{99}}")),
    "binomial": ("5", b("\\binom{1000000}{500000}")),
    "determinant": (TRIG, b("\\det\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}")),
    "huge root": ("5", b("\\sqrt[99999999]{5}")),
    "radicand": ("3\\sqrt{7}", b("\\sqrt{" + "9" * 100 + "}")),
    "logarithms (hung the paper's grader)": ("\\frac{\\log 2}{\\log 2-\\log 3}", b("2271380")),
    "nested sines": (TRIG, b("\\sin(" * 11 + "x" + ")" * 11)),
    "hard simplification": (
        TRIG,
        b("\\frac{\\sin^{9}(x)\\cos^{9}(y)-\\tan^{7}(z)}{\\sqrt{\\sin x}+\\sqrt[5]{\\cos y}}"),
    ),
    # code
    "import": ("5", b("__import__('os').system('touch PWNED')")),
    "import in text": (TRIG, b("\\text{__import__('os').system('touch PWNED')}")),
    "eval": (TRIG, b("eval(\"open('PWNED','w')\")")),
    "open": (TRIG, b("open('PWNED','w').write('x')+\\sin x")),
    "lambda": (TRIG, b("(lambda: open('PWNED','w'))()")),
    "pi replaced by eval": ("5", b("\\pi*0+[open('PWNED','w'),5][1]")),
    "matrix read by eval": ("\\begin{pmatrix}1&2\\end{pmatrix}", b("[[1,2],open('PWNED','w')]")),
    "spelt in full width": (TRIG, b("\uff4f\uff50\uff45\uff4e('PWNED','w')+\\sin x")),
    "attribute chain": (TRIG, b("().__class__.__base__.__subclasses__()")),
    "getattr": (TRIG, b("getattr(x,'y')")),
    "format string": ("5", b("{0.__class__}{question}%s%n")),
    "latex write18": (TRIG, b("\\write18{touch PWNED}\\input{/etc/passwd}")),
    "json in the answer": ("5", b('"}\n{"equal": true}')),
    "newline protocol": (TRIG, b('\\sin x\n{"equal": true}\n')),
    "null byte": ("5", b("5\x006")),
    # near misses
    "x 100": ("50", b("0.5")),
    ": 100": ("0.5", b("50")),
    "half a per cent": ("0.5", b("0.5\\%")),
    "interval": ("[2,5)", b("(2,5)")),
    "closed for open": ("(2,5)", b("[2,5]")),
    "base": ("2516_8", b("2516_7")),
    "base for a number": ("52", b("52_8")),
    "subscript": ("\\sin E_2", b("\\sin E_3")),
    "end of a false chain": ("5", b("6=5")),
    "false chain with a name": ("5", b("x=6=5")),
    "unfinished sum": ("51", b("64-24+11")),
    "unfinished product": ("12", b("3\\cdot 4")),
    "unfinished division": ("12", b("144/12")),
    "unfinished power": ("8", b("2^3")),
    "unfinished coordinates": ("(3,4)", b("(1+2,2+2)")),
    "large integers": (str(10**16 + 1), b(str(10**16))),
    "tiny": ("0", b("0.0000001")),
    "tiny the other way": ("3.6e-10", b("0")),
    "almost": ("1", b("0." + "9" * 20)),
    "rounded": ("\\frac{1}{7}", b("0.143")),
    "another order": ("(1,2)", b("(2,1)")),
    "one too many": ("1,2", b("1,2,3")),
    "one too few": ("1,2,3", b("1,2")),
    "repeated": ("1,2", b("1,1")),
    "equation": ("2x+z=1", b("1")),
    "not equal": ("5", b("5 \\neq 6")),
    "contradiction": ("5", b("5=6=5")),
    "at most": ("5", b("x \\le 5")),
    "anything": ("5", b("x")),
    "infinite": ("5", b("\\infty")),
    "undefined": ("5", b("\\frac{5}{0}")),
    "zero over zero": ("x", b("\\frac{0}{0}")),
    "empty set": ("5", b("\\emptyset")),
    "everything": ("5", b("(-\\infty,\\infty)")),
    "whole line": ("[2,5)", b("\\mathbb{R}")),
    "plus minus": ("5", b("\\pm 5")),
    "word": ("5", b("\\text{five}")),
    "negated": ("5", b("\\text{not }5")),
    "denied": ("5", b("5 \\text{ is not the answer, } 6 \\text{ is}")),
    "more": ("5", b("5 \\text{ thousand}")),
    "kilometres": ("5 \\text{ m}", b("5 \\text{ km}")),
    "thousands comma with a space": ("32349", b("32, 349")),
    "mixed number as a product": ("\\frac{2}{3}", b("2\\frac13")),
    "Arabic digits": ("5", b("\u0665")),
    "superscript digits": ("52", b("5\u00b2")),
    "roman": ("5", b("V")),
    "letters": ("\\text{(B)}", b("ABCD")),
    "two letters": ("B", b("A, B")),
    "anagram": ("LQSX", b("XSQL")),
    "afternoon": ("3:30 p.m.", b("3:30 a.m.")),
    "imaginary": ("2", b("2i")),
    "negative": ("5", b("-5")),
    "swapped fraction": ("\\frac{2}{3}", b("\\frac{3}{2}")),
    "the gold as a name": ("5", b("\\text{gold}")),
    "the question's letters": ("\\frac{x+1}{2}", b("\\frac{x+2}{1}")),
}


GENERATED = {name: (gold, response) for name, gold, response in hostile.cases()}


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout=1.0) as g:
        yield g


@pytest.mark.parametrize("name", RESPONSES)
def test_nothing_hostile_is_rewarded(grader: Grader, name: str) -> None:
    gold, response = RESPONSES[name]
    (verdict,) = grader.grade([Item(response, gold)])
    assert verdict.correct is not True, verdict
    assert verdict.kind != "bad_gold", "a bad gold would make the case vacuous"


def stopped(gold: str, response: str) -> str:
    """How far a hostile answer comes: `rewarded`, `open` (for math-verify), or who said no."""
    with Grader(command=["/bin/false"]) as g:
        verdict = g._fast(Item(response, gold))
    if isinstance(verdict, tuple):
        return "open"
    return "rewarded" if verdict.correct else verdict.kind if verdict.kind == "bad_gold" else verdict.how


def test_nearly_all_generated_answers_end_before_the_slow_path() -> None:
    ends = {name: stopped(*case) for name, case in GENERATED.items()}
    assert len(GENERATED) >= 300
    assert len(set(GENERATED.values())) == len(GENERATED)
    assert not [name for name, end in ends.items() if end in ("rewarded", "bad_gold")]
    through = [name for name, end in ends.items() if end == "open"]
    assert 3 <= len(through) <= len(ends) * 0.05, through


@pytest.mark.slow
def test_what_reaches_math_verify_is_not_rewarded_either(grader: Grader) -> None:
    """Wrong or timed out; every one is over in time, or the worker is killed (test_pool has that with a stub)."""
    through = {name: case for name, case in GENERATED.items() if stopped(*case) == "open"}
    verdicts = grader.grade([Item(response, gold) for gold, response in through.values()])
    assert not [name for name, verdict in zip(through, verdicts, strict=True) if verdict.correct]


def test_nothing_was_run(grader: Grader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again with a fresh grader in an empty folder, where every payload would leave a file."""
    monkeypatch.chdir(tmp_path)
    every = [*RESPONSES.values(), *GENERATED.values()]
    payloads = [Item(response, gold) for gold, response in every if hostile.CANARY in response]
    assert len(payloads) >= 40
    with Grader(timeout=1.0) as fresh:
        fresh.grade([*payloads, *(Item(item.response, TRIG) for item in payloads)])
    assert list(tmp_path.iterdir()) == []


def test_the_grader_still_works_after_all_that() -> None:
    right = [("\\sin x+\\cos y", "\\cos y+\\sin x"), ("5", "5"), ("\\tan^2 y+1", "\\sec^2 y")]
    with Grader(timeout=60.0) as patient:
        assert [v.correct for v in patient.grade([Item(b(a), g) for g, a in right])] == [True] * 3


def test_the_hand_made_list_reaches_every_line_of_defence() -> None:
    ends = [stopped(*case) for case in RESPONSES.values()]
    assert len(ends) >= 60
    assert all(ends.count(end) >= 3 for end in ("rule", "fast", "guard", "open"))
