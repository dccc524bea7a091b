r"""Zero-shot prompt templates, the same in RL and in evaluation.

`simple` is the paper's `Question:{}\nAnswer:{}`. `complex` is in the manner of Open-Reasoner-Zero, in our own words: it says
that this is a conversation, that the assistant thinks before it answers, and that the final answer is read from a box.
"""

from __future__ import annotations

from octothinker.typed import ConfigError, suggest

TEMPLATES = {
    "simple": "Question:{question}\nAnswer:",
    "complex": (
        "The following is a conversation between a User and an Assistant. The User asks a question. The Assistant first "
        "thinks the problem through, step by step, and then gives the answer. The final answer stands in \\boxed{} at the "
        "end of the response; it is read from there by a program, and nothing else is.\n"
        "User: {question}\nAssistant:"
    ),
}


def render(template: str, question: str) -> str:
    """The prompt for a question. `template`: `simple`, `complex`, or a text with {question} in it, replaced literally.

    Braces elsewhere in either text stand for themselves. ConfigError for a name that does not exist.
    """
    text = TEMPLATES.get(template, template)
    if "{question}" not in text:
        names = [*TEMPLATES, "few_shot"]
        raise ConfigError(
            f"template={template!r} is neither the name of a template nor a text with {{question}} in it"
            f"{suggest(template, names)}; few_shot is for evaluation on a benchmark with exemplars"
        )
    return text.replace("{question}", question)
