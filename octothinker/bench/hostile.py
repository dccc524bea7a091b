"""Answers made to fool, hang, crash or run something in a grader, generated: (name, gold, whole response). All are wrong.

Families, each over several golds and sizes: no complete box, many boxes, code, towers, factorials, heavy operators, nesting,
long inputs, patterns that make regular expressions go back, other alphabets' digits, near misses, factors of 100, units.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

Case = tuple[str, str, str]
TRIG = "\\sin x+\\cos y"
"""A gold that no exact path evaluates: answers to it may come as far as a computer algebra system."""
CANARY = "PWNED"
"""The file that a payload would leave in the working folder."""
_TOUCH = f"open('{CANARY}','w')"
_CODE = (
    f"__import__('os').system('touch {CANARY}')", f"eval(\"{_TOUCH}\")", f"exec(\"{_TOUCH}\")", _TOUCH,
    f"(lambda: {_TOUCH})()", f"[{_TOUCH},5][1]", f"[[1,2],{_TOUCH}]", f"\\text{{{_TOUCH}}}", f"5+0*len([{_TOUCH}])",
    f"Symbol({_TOUCH})", f"sympify(\"{_TOUCH}\")", f"S(\"{_TOUCH}\")", f"Integer({_TOUCH})", f"parse_expr(\"{_TOUCH}\")",
    f"\\pi*0+{_TOUCH}", "().__class__.__base__.__subclasses__()", "getattr(x,'y')", "globals()", "5 if 1 else 6",
    f"\\write18{{touch {CANARY}}}\\input{{/etc/passwd}}", "{0.__class__}%s%n", "${jndi:ldap://x}", "'; DROP TABLE x; --",
)  # fmt: skip
_HEAVY = (
    "\\sum_{n=0}^{\\infty} 5\\cdot 2^{-n-1}", "\\sum_{k=1}^{99999999} \\frac{1}{k^k}", "\\prod_{n=1}^{10000000} n",
    "\\int_0^5 1 dx", "\\int_0^{100}\\sin(\\sin(x^x)) dx", "\\lim_{x\\to 0}\\frac{\\sin 5x^{99}}{x^{99}}",
    "\\binom{1000000}{500000}", "\\det\\begin{pmatrix}5&0\\\\0&1\\end{pmatrix}", "\\sqrt[99999999]{5}", "\\sqrt{25}",
    "\\frac{\\sin^{9}(x)\\cos^{9}(y)-\\tan^{7}(z)}{\\sqrt{\\sin x}+\\sqrt[5]{\\cos y}}", "(x+y+z)^{999}", "(x+1)^{999/998}",
    "(a+b+c)^{12}(a-b+c)^{12}(a+b-c)^{12}", "\\log(\\log(\\log(x^{x^x})))", "\\zeta(\\Gamma(99999))", "\\lfloor 5.5\\rfloor",
    "|x|^{|x|^{|x|}}", "\\sin(\\cos(\\tan(\\sin(\\cos(\\tan(\\sin(\\cos(\\tan(x)))))))))", "\\gcd(5,10)", "2+3", "10/2",
)  # fmt: skip
_DIGITS = "\u0665\u096b\u09eb\u0e55\U0001d7d3\u2464\u2075\u2085\u2164\u4e94\u3285\u2786"
_AROUND = (
    "\u202e5",
    "5\u0338",
    "5\u20dd",
    "\u200e-5",
    "5\u2044",
    "\ufeff6",
    "4\u200b5",
    "5\x006",
    "\u0435",
    "5\u3000 6",
)


def cases() -> list[Case]:
    made = [*_boxes(), *_code(), *_towers(), *_nested(), *_long(), *_alphabets(), *_near()]
    names: dict[str, int] = {}
    out = []
    for name, gold, response in made:
        names[name] = names.get(name, 0) + 1
        out.append((f"{name} {names[name]}", gold, response))
    return out


def _box(answer: str) -> str:
    return "\\boxed{" + answer + "}"


def _boxes() -> Iterator[Case]:
    for gold in ("5", "\\frac{1}{2}", "x+1"):
        unboxed = (
            f"\\boxed{{{gold}",
            f"\\boxed {gold}",
            f"\\fbox{{{gold}}}",
            f"boxed{{{gold}}}",
            f"{gold} \\boxed{{}}",
            gold,
        )
        for text in (*unboxed, f"${gold}$", f"The final answer is {gold}.", f"\\boxed\uff5b{gold}\uff5d"):
            yield "no box", gold, text
        for n in (1, 10, 1_000):
            yield "right, then wrong", gold, _box(gold) * n + _box("7")
        yield "many candidates", gold, _box(f"{gold}, 6, 7") + _box("7" + _box(gold) + _box("6"))
    for join in (",", ", ", " or ", " and ", ";", " ", "\\text{ or }", "|", "/"):
        for n in (2, 20, 100):
            yield "all answers", "5", _box(join.join(str(i) for i in range(4, 4 + n)))
    yield "line protocol", "5", _box('"}\n{"equal": true}\n{"ready": true}')


def _code() -> Iterator[Case]:
    for payload in _CODE:
        for gold in ("5", TRIG):
            yield "code", gold, _box(payload)
    for payload in _CODE[:8]:
        yield "code beside", TRIG, payload + _box(f"\\tan x+{payload}")
        yield (
            "code in a matrix",
            "\\begin{pmatrix}1&2\\end{pmatrix}",
            _box(f"\\begin{{pmatrix}}1&{payload}\\end{{pmatrix}}"),
        )


def _towers() -> Iterator[Case]:
    for gold in ("5", TRIG):
        for n in (4, 6, 8, 12):
            yield "exponent", gold, _box(f"2^{{{10**n}}}")
            yield "negative exponent", gold, _box(f"3^{{-{10**n}}}")
            yield "scientific", gold, _box(f"5e{10**n}")
            yield "factorial", gold, _box(f"{10**n}!")
        for height in (2, 3, 5, 11):
            yield "tower", gold, _box("9^{" * height + "9" + "}" * height)
            yield "bare tower", gold, _box("^".join("9" * (height + 1)))
            yield "power of powers", gold, _box("(" * height + "2" + "^{99})" * height)
            yield "factorials", gold, _box("(" * height + "99" + ")!" * height)
            yield "letters", gold, _box("x" + "^x" * height)
        for heavy in _HEAVY:
            yield "heavy", gold, _box(heavy)


def _nested() -> Iterator[Case]:
    shapes = (
        ("(", ")"),
        ("{", "}"),
        ("[", "]"),
        ("\\frac{", "}{1}"),
        ("\\sqrt{", "}"),
        ("\\sin(", ")"),
        ("|", "|"),
        ("-(", ")"),
    )
    for opening, closing in shapes:
        for depth in (14, 60, 2_000):
            yield "nested", TRIG, _box(opening * depth + "x" + closing * depth)
    for opening, closing in shapes:
        yield "nested and wrong", "5", _box(opening * 50 + "6" + closing * 50)


def _long() -> Iterator[Case]:
    pieces = (
        "5",
        "1,",
        "1 ",
        "-",
        "+",
        "( ",
        "\\text{",
        ",",
        "\\frac",
        "$",
        "%",
        "x=",
        "\\pm",
        "\\left",
        "0.",
        "\\\\",
        "a ",
    )
    for piece in (*pieces, "1,000", "\\circ", "^", "_", "&", "=", "<", "x_", "\\{", "[0,", "\\cup", "1/", ":"):
        yield "long", "7", _box(piece * (390 // len(piece)) + "6")
        yield "longer", "7", piece * 50_000 + _box(piece * 5_000 + "7")
    yield "long sum", "100", _box("+".join(["1"] * 100))
    yield "open boxes", "5", "\\boxed{" * 100_000 + "5"


def _alphabets() -> Iterator[Case]:
    for digit in _DIGITS:
        yield "alphabet", "5", _box(digit)
    for text in _AROUND:
        yield "characters", "5", _box(text)
    for letter in "\u0445\u03c7\U0001d465":
        yield "letter", "x", _box(letter)


def _near() -> Iterator[Case]:
    for value in (Fraction(5), Fraction(12), Fraction(1_000), Fraction(3, 4), Fraction(1, 3), Fraction(-7, 2)):
        gold = f"\\frac{{{value.numerator}}}{{{value.denominator}}}" if value.denominator > 1 else str(value)
        n = float(value)
        wrong = [
            f"{n * 100:g}",
            f"{n / 100:g}",
            f"{n * 10:g}",
            f"{-n:g}",
            f"{n + 1:g}",
            f"\\pm {gold}",
            f"{gold}, {gold}",
            f"{gold} 6",
        ]
        wrong += [
            f"{n + 1e-3:.3f}",
            f"{n:g}\\%" if abs(n) <= 1 else f"{n * 100:g}\\%1",
            f"{gold}={gold}+1",
            f"{gold} \\ne 6",
        ]
        wrong += [
            f"{gold}+1-1",
            f"x \\le {gold}",
            f"{gold}i",
            f"{gold}x",
            f"{gold}\\text{{ thousand}}",
            f"{gold} million",
        ]
        wrong += [
            f"\\text{{not }}{gold}",
            f"({gold},{gold})",
            f"[{gold},{gold}]",
            f"{gold}_7",
            f"{gold}!!",
            f"{gold}\\infty",
        ]
        for text in wrong:
            yield "near", gold, _box(text)
    for gold, answers in {
        "0.5": ("50", "500\\%", "0.5\\%", "5\\%", "50\\text{ thousand}"),
        "50": ("0.5", "500\\%", "0.5\\%", "500", "0.50\\text{ m}"),
        "20\\%": ("2000\\%", "0.002", "2", "0.02", "2000"),
        "5\\text{ m}": ("5\\text{ km}", "5\\text{ cm}", "5\\text{ m}^2", "500\\text{ cm}", "5\\text{ s}"),
        "[0,1)": ("(0,1)", "[0,1]", "0,1", "[1,0)", "[0,1.0001)"),
        "(1,2)": ("(2,1)", "[1,2]", "(1,2,3)", "(1,2),(1,2)", "1<x<2"),
        "1,2,3": ("1,2", "1,2,3,4", "1,1,2,3", "1,2,4", "123"),
        "x^2+1": ("x^2-1", "x^3+1", "x^2", "y^2+1", "(x+1)^2"),
        "2516_8": ("2516_7", "2516_{80}", "25168", "2516_16", "2516^8"),
        "y=2x+3": ("y=2x-3", "x=2y+3", "y<2x+3", "2x+3=0", "y=2x+3, y=1"),
    }.items():
        for answer in answers:
            yield "near", gold, _box(answer)
