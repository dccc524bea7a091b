r"""Few-shot prompts: worked examples of our own making, from no test set, and the form they are written in.

Answer forms as in the paper's prompts, since that is what the anchors read: `The answer is 5.` for word problems, and
`Final Answer: The final answer is $5$. I hope it is correct.` (Minerva) for MATH.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Shot = tuple[str, str, str]
"""(question, working, answer)"""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How a benchmark is asked, and where the answer stands in what comes back."""

    shots: tuple[Shot, ...]
    shot: str
    """One example; {question}, {working} and {answer} are filled in."""
    ask: str
    """The question itself, at the end of the prompt."""
    anchor: str
    """Words before the answer."""
    stop: tuple[str, ...]
    """As in the paper; end the generation."""

    def render(self, question: str) -> str:
        """The exemplars and the question. Filled in literally: questions are full of braces."""
        shots = "".join(_fill(self.shot, question=q, working=w, answer=a) for q, w, a in self.shots)
        return shots + _fill(self.ask, question=question)


def _fill(template: str, **fields: str) -> str:
    """In one pass, so that nothing inside a filled-in text is filled in again."""
    return re.sub(r"\{(\w+)\}", lambda match: fields[match[1]], template)


WORD_PROBLEMS: tuple[Shot, ...] = (
    (
        "Noor puts 6 plates on each of 4 tables. Then 5 plates are taken back to the kitchen. How many plates are left on "
        "the tables?",
        "Noor put out 6 * 4 = 24 plates. After 5 were taken back there are 24 - 5 = 19 plates.",
        "19",
    ),
    (
        "A ferry carries 38 cars on its morning trip and 17 fewer on its evening trip. How many cars does it carry in all?",
        "In the evening it carries 38 - 17 = 21 cars. In all it carries 38 + 21 = 59 cars.",
        "59",
    ),
    (
        "Pavel buys 3 notebooks at $4 each and a pen for $2.50. He pays with a $20 bill. How much change does he get?",
        "The notebooks cost 3 * 4 = 12 dollars. With the pen he pays 12 + 2.50 = 14.50 dollars. His change is "
        "20 - 14.50 = 5.50 dollars.",
        "5.50",
    ),
    (
        "A baker has 96 rolls and packs them in bags of 8. She sells 7 of the bags. How many bags does she still have?",
        "She fills 96 / 8 = 12 bags. After selling 7 she has 12 - 7 = 5 bags.",
        "5",
    ),
    (
        "Half of the 30 children in a class walk to school. A third of the others come by bicycle. How many come by bicycle?",
        "30 / 2 = 15 children walk, so 30 - 15 = 15 do not. A third of these is 15 / 3 = 5.",
        "5",
    ),
    (
        "Ines reads 12 pages a day from Monday to Friday and 25 pages on Saturday. Her book has 130 pages. How many pages "
        "has she left to read?",
        "From Monday to Friday she reads 12 * 5 = 60 pages. With Saturday that is 60 + 25 = 85 pages. She has "
        "130 - 85 = 45 pages left.",
        "45",
    ),
    (
        "A tank holds 240 liters. It is filled at 15 liters a minute while 3 liters a minute leak out. How many minutes "
        "does it take to fill the empty tank?",
        "Each minute the tank gains 15 - 3 = 12 liters. Filling it takes 240 / 12 = 20 minutes.",
        "20",
    ),
    (
        "Tom is 4 years older than Ada. In 6 years the two will be 40 years old together. How old is Ada now?",
        "In 6 years each is 6 years older, so today they are 40 - 12 = 28 years old together. If Tom were Ada's age, that "
        "would be 28 - 4 = 24, so Ada is 24 / 2 = 12.",
        "12",
    ),
)

MINERVA: tuple[Shot, ...] = (
    (
        "Let $g(x) = 3x^2 - 5x$. Find $g(4) - g(1)$.",
        "We have $g(4) = 3 \\cdot 16 - 5 \\cdot 4 = 48 - 20 = 28$ and $g(1) = 3 - 5 = -2$. Therefore "
        "$g(4) - g(1) = 28 - (-2) = 30$.",
        "30",
    ),
    (
        "A spinner has $12$ equal sectors numbered from $1$ to $12$ and is spun once. With what probability does it stop "
        "at a multiple of $4$ or of $5$?",
        "The multiples of $4$ are $4, 8, 12$ and the multiples of $5$ are $5, 10$; no sector is in both lists. So "
        "$3 + 2 = 5$ of the $12$ equally likely sectors count, and the probability is $\\frac{5}{12}$.",
        "\\frac{5}{12}",
    ),
    (
        "A right triangle has legs of length $4$ and $8$. Find the length of its hypotenuse in simplest radical form.",
        "By the Pythagorean theorem the hypotenuse is $\\sqrt{4^2 + 8^2} = \\sqrt{16 + 64} = \\sqrt{80}$. Since "
        "$80 = 16 \\cdot 5$, this is $4\\sqrt{5}$.",
        "4\\sqrt{5}",
    ),
    (
        "Find all real numbers $x$ with $|2x - 3| < 7$. Give your answer in interval notation.",
        "The inequality says $-7 < 2x - 3 < 7$. Adding $3$ gives $-4 < 2x < 10$, and dividing by $2$ gives $-2 < x < 5$.",
        "(-2,5)",
    ),
)

STEM_CHOICE: tuple[Shot, ...] = (
    (
        "A cyclist covers $18$ kilometers in $45$ minutes. What is the average speed in kilometers per hour?\n"
        "Answer choices: (A) 13.5 (B) 20 (C) 24 (D) 27",
        "$45$ minutes are $\\frac{3}{4}$ of an hour, so the speed is $18 \\div \\frac{3}{4} = 24$ kilometers per hour.",
        "C",
    ),
    (
        "Which of these is left unchanged by a chemical reaction in a closed vessel?\n"
        "Answer choices: (A) the total mass (B) the number of molecules (C) the temperature (D) the pressure",
        "Atoms are rearranged, not made or lost, so the total mass stays. Molecules may join or split, and heat and gas may "
        "be set free.",
        "A",
    ),
    (
        "For which value of $k$ does $x^2 - 6x + k = 0$ have exactly one real solution?\n"
        "Answer choices: (A) 3 (B) 9 (C) 12 (D) 36",
        "There is one solution when the discriminant $36 - 4k$ is zero, so $k = 9$.",
        "B",
    ),
    (
        "A fair coin is tossed three times. What is the probability of exactly two heads?\n"
        "Answer choices: (A) 1/2 (B) 2/3 (C) 5/8 (D) 3/8",
        "Of the $8$ equally likely results three have exactly two heads: HHT, HTH and THH. The probability is "
        "$\\frac{3}{8}$.",
        "D",
    ),
)

COURSES: tuple[Shot, ...] = (
    (
        "A rocket in free space expels gas at $2.5 \\mathrm{~km} / \\mathrm{s}$ until its mass has fallen by a factor of $4$. "
        "By how many $\\mathrm{km} / \\mathrm{s}$ has its speed grown? Give two significant figures.",
        "By the rocket equation the gain is $2.5 \\ln 4 = 2.5 \\times 1.386 = 3.47$, to two figures $3.5$.",
        "3.5",
    ),
    (
        "Solve $y' = 3y$ with $y(0) = 2$.",
        "The solutions of $y' = 3y$ are $y = c e^{3t}$, and $y(0) = c = 2$.",
        "y=2 e^{3 t}",
    ),
    (
        "A parallel-plate capacitor of capacitance $C$ holds the charge $Q$. How much energy does it store, in terms of $Q$ "
        "and $C$?",
        "Charging it takes the work $\\int_0^Q \\frac{q}{C} d q = \\frac{Q^2}{2 C}$.",
        "\\frac{Q^2}{2 C}",
    ),
    (
        "What is the energy in joules of a photon with a frequency of $5 \\times 10^{14} \\mathrm{~Hz}$? Take "
        "$h = 6.6 \\times 10^{-34}$.",
        "It is $h \\nu = 6.6 \\times 10^{-34} \\times 5 \\times 10^{14} = 3.3 \\times 10^{-19}$.",
        "3.3e-19",
    ),
)

_PROBLEM = "Problem:\n{question}\n\nSolution:"
_FINAL = "Final Answer: The final answer is {answer}. I hope it is correct.\n\n"

GSM_8_SHOT = Prompt(
    shots=WORD_PROBLEMS,
    shot="Q: {question}\nA: {working} The answer is {answer}.\n\n",
    ask="Q: {question}\nA:",
    anchor="answer is",
    stop=("\nQ:",),
)
ZERO_SHOT = Prompt(shots=(), shot=GSM_8_SHOT.shot, ask=GSM_8_SHOT.ask, anchor="answer is", stop=("\nQ:",))
MINERVA_4_SHOT = Prompt(
    shots=MINERVA,
    shot=f"{_PROBLEM}\n{{working}}\n{_FINAL.replace('{answer}', '${answer}$')}",
    ask=_PROBLEM,
    anchor="final answer is",
    stop=("\nProblem:",),
)
CHOICE_4_SHOT = Prompt(
    shots=STEM_CHOICE,
    shot=f"{_PROBLEM}\n{{working}}\n{_FINAL.replace('{answer}', '({answer})')}",
    ask=_PROBLEM,
    anchor="final answer is",
    stop=("\nProblem:",),
)
COURSES_4_SHOT = Prompt(
    shots=COURSES,
    shot=f"{_PROBLEM}\n{{working}}\n{_FINAL}",
    ask=_PROBLEM,
    anchor="final answer is",
    stop=("\nProblem:",),
)
