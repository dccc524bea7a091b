"""The paper's rule: how its authors' code reads and compares answers, with the faults that their numbers contain.

Written anew from a description of what that code does (the answers it loses, the pairs it takes for equal), so that a
published figure can be set beside ours like with like. What it does by `eval` and `parse_expr` on a model's text is done
here by regular expressions and our own grader (`same`). Faults kept: the last number is cut at a thousands comma; option E
is never read; every negative number of the OCW set is wrong; n and n% are equal, and numbers within 0.001; brackets of
tuples and intervals do not count; of OlympiadBench an answer without dollars is lost to its full stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from octothinker.evals.benchmarks import PaperRule, boxes
from octothinker.typed import ConfigError

Same = Callable[[str, str], bool]

_NUMBER = re.compile(r"-?[0-9]+\.?[0-9]*")
_CHOICE = re.compile(r"the final answer is \(?([abcd])\)?")
_NOISE = re.compile(r"\\left|\\right|\\!|\^\{\\circ\}|\^\\circ|\\\$|\$|\\mathrm|\\mathbf|\\mbox\{[^{}]*\}|\s")


def correct(rule: PaperRule, response: str, gold: str, question: str, same: Same) -> bool:
    """Whether the authors' code would count the response."""
    text = response.split("Q: ", 1)[0] if rule in ("number", "table") else response.split("Problem:", 1)[0]
    if rule == "number":
        found = _NUMBER.findall(text)
        return bool(found) and _equal(gold, found[-1], lambda *_: False)
    if rule == "table":
        return _table(text, gold, question)
    if rule == "letter":
        letters = _CHOICE.findall(text.lower())
        return bool(letters) and letters[-1].upper() == gold
    if rule == "courses":
        stated = re.search(r"final answer is (.*)\. I hope it is correct", text)
        return stated is not None and _courses(gold, stated[1].strip("$ "), same)
    if rule == "olympiad":
        return _olympiad(text, gold, same)
    answers = _math(text)[-1:]
    return bool(answers) and _equal(normal(gold), answers[0], same)


def _math(text: str) -> list[str]:
    if "final answer is $" in text and "$. I hope" in text:
        found = [text.split("final answer is $", 1)[1].split("$. I hope", 1)[0]]
    elif "boxed" in text:
        try:
            found = boxes(text)
        except ConfigError:
            found = []
    elif "he answer is" in text:
        found = [text.rsplit("he answer is", 1)[1]]
    else:
        found = re.findall(r"-?[0-9]*\.?[0-9]+", text.replace(",", ""))[-1:]
    return [normal(answer.strip().split("\n")[0].lstrip(":").rstrip("./")) for answer in found]


def normal(text: str) -> str:
    """The form in which two answers are compared as strings: no spaces, sizes, units, degree or dollar signs."""
    text = re.sub(r"[tdc]frac", "frac", text.strip().rstrip("."))
    if text.startswith("\\text{") and text.endswith("}"):
        text = text[6:-1]
    text = re.sub(r"\\text\{[^{}]*\}$", "", text) or text
    text = _NOISE.sub("", text).replace("\\%", "%")
    text = re.sub(r"([0-9])\.0+(?![0-9])", r"\1", text)
    return re.sub(r"^\.(?=[0-9])", "0.", text).rstrip("\\,.")


def _equal(gold: str, answer: str, same: Same) -> bool:
    """Strings, then numbers (within 0.001, and up to a factor of 100), then part by part, then as formulas."""
    if gold and gold == answer:
        return True
    g, a = _float(gold), _float(answer)
    if g is not None and a is not None:
        return abs(g - a) < 1e-3 or any(abs(a - x) <= 1e-4 * abs(x) for x in (g / 100, g, g * 100))
    inner = [re.sub(r"^[\[({]|[\])}]$", "", text) for text in (gold, answer)]
    parts = [text.split(",") for text in inner]
    if len(parts[0]) > 1 and len(parts[0]) == len(parts[1]):
        return all(_equal(x, y, same) for x, y in zip(*parts, strict=True))
    return inner[0] == inner[1] or same(gold, answer)


def _float(text: str) -> float | None:
    text = text.replace(",", "").removesuffix("%")
    return (
        float(text) if re.fullmatch(r"[-+]?(?:[0-9]{1,300}\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?", text) else None
    )


def _courses(gold: str, answer: str, same: Same) -> bool:
    g, a = (_float(re.sub(r"^(-?[0-9]+)\./[0-9]$", r"\1", text)) for text in (gold, answer))  # -1./3: its sign decides
    if g is None:
        return "".join(gold.split()) == "".join(answer.split()) or ("=" not in gold and same(gold, answer))
    return a is not None and (g == a == 0 or abs(g - a) < 0.01 * (g + a) / 2)  # never so when both are negative


def _olympiad(text: str, gold: str, same: Same) -> bool:
    """The line after `Final Answer:` in a box: a full stop inside the box is lethal unless dollars end before it."""
    if "Final Answer:" not in text or re.fullmatch(r"-?[0-9]+(?:, ?-?[0-9]+)+", gold):
        return False  # of a published list like `1,3,5` without dollars their parser takes one number
    line = text.rsplit("Final Answer:", 1)[1].strip().split("\n")[0]
    line = line.removeprefix("The final answer is").split("I hope it is", 1)[0].strip()
    dollars = re.findall(r"\$([^$]+)\$", line)
    if dollars:
        return same(gold, ", ".join(dollars))
    return not line.endswith(".") and same(gold, line)


def _table(text: str, gold: str, question: str) -> bool:
    options = question.rpartition("\nOptions: ")[2].split(" | ") if "\nOptions: " in question else []
    tail = text.rsplit("answer is", 1)[-1].strip().rstrip(".")
    if options:
        return tail.lower() == gold.lower()
    found = _NUMBER.findall(tail.replace(",", ""))
    fraction = re.search(r"([0-9]+)\s*/\s*([0-9]+)", tail)
    if fraction and "/" in gold:
        return "/".join(fraction.groups()) == gold
    return bool(found) and _equal(gold.replace(",", ""), found[-1].rstrip("."), lambda *_: False)
