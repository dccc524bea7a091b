"""`octo midtrain | rl`: one stage on any Hugging Face model, as a small experiment through the same machinery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from octothinker.cli.common import Model, OneOut, Set, go
from octothinker.typed import ConfigError, override

Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(
        help="Compute precision; master weights are fp32. auto: bf16 where the machine has instructions for it."
    ),
]
Seed = Annotated[int, typer.Option(help="Order of the data, and sampling.")]
Template = Annotated[
    str, typer.Option(help="simple, complex, or a text of your own with {question} in it.", rich_help_panel="Prompt")
]


def chosen(precision: Literal["auto", "fp32", "bf16"]) -> Literal["fp32", "bf16"]:
    from octothinker.train.dist import fast_precision

    return fast_precision() if precision == "auto" else precision


def _sources(data: list[str], template: str) -> tuple[dict[str, object], dict[str, float]]:
    """`FILE[:weight]` -> sources by the file's name, and their shares (scaled to sum to 1)."""
    from octothinker.config import Source

    sources: dict[str, object] = {}
    weights: dict[str, float] = {}
    for item in data:
        path, _, weight = item.rpartition(":")
        try:
            share = float(weight)
        except ValueError:
            share, path = 1.0, item
        if not path:
            share, path = 1.0, item
        if share <= 0:
            raise ConfigError(f"--data {item}: the weight must be above 0")
        name = Path(path.rstrip("/")).name.split(".")[0] or "data"
        while name in sources:
            name += "_"
        sources[name], weights[name] = Source(path=path, template=template), share
    total = sum(weights.values())
    return sources, {name: weight / total for name, weight in weights.items()}


def midtrain(
    model: Model,
    data: Annotated[list[str], typer.Option(metavar="FILE[:WEIGHT]", help="Documents, .jsonl or .parquet. Repeat.")],
    tokens: Annotated[int, typer.Option(help="Tokens to train on.")],
    out: OneOut,
    template: Annotated[str, typer.Option(help="Text of a document, from its fields.")] = "{text}",
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-5,
    schedule: Annotated[Literal["constant", "cosine", "linear", "1-sqrt"], typer.Option()] = "cosine",
    seq_len: Annotated[int, typer.Option()] = 1024,
    batch_size: Annotated[int, typer.Option(help="Sequences a step.")] = 8,
    micro_batch: Annotated[int, typer.Option(help="Sequences a forward pass.")] = 4,
    precision: Precision = "auto",
    seed: Seed = 0,
    settings: Set = None,
) -> None:
    """Continue the training of a model on documents.

    The result is a Hugging Face folder, DIR/stages/midtrain.main.…/model.

    \b
      octo midtrain smollm2 --data web.jsonl --tokens 2000000 --out runs/more
    \b
      octo midtrain smollm2 --data web.jsonl:0.7 --data qa.jsonl.zst:0.3 \\
           --tokens 2000000 --out runs/mix
    \b
      octo midtrain smollm2 --data gsm8k/train.jsonl --tokens 200000 --out runs/gsm \\
           --template "Question: {question}\\nAnswer: {answer}"
    """
    from octothinker.config import Eval, Experiment, Midtrain, Schedule, StartModel

    sources, mixture = _sources(data, template.replace("\\n", "\n"))
    experiment = Experiment(
        name="midtrain",
        seeds=(seed,),
        model=StartModel(path=model),
        sources=sources,  # type: ignore[arg-type]
        problems={},
        midtrain=(
            Midtrain(
                name="main",
                mixture=mixture,
                tokens=tokens,
                seq_len=seq_len,
                batch_size=batch_size,
                micro_batch=micro_batch,
                schedule=Schedule(kind=schedule, lr=lr),
                precision=chosen(precision),
            ),
        ),
        eval=Eval(problems=()),
    )
    go(override(experiment, settings or []), out)


def rl(
    model: Model,
    problems: Annotated[str, typer.Option(metavar="FILE", help="Rows of question, answer and optionally level.")],
    steps: Annotated[int, typer.Option(help="Rollout steps.")],
    out: OneOut,
    template: Template = "simple",
    question: Annotated[str, typer.Option(help="Field with the question.")] = "question",
    answer: Annotated[str, typer.Option(help="Field with the answer.")] = "answer",
    prompts: Annotated[int, typer.Option(help="Prompts a step.")] = 16,
    group_size: Annotated[int, typer.Option(help="Responses to each prompt.")] = 8,
    max_tokens: Annotated[int, typer.Option(help="Limit of a response.")] = 512,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-6,
    stop: Annotated[list[str] | None, typer.Option(help="String that ends a response. Repeat.")] = None,
    precision: Precision = "auto",
    seed: Seed = 0,
    settings: Set = None,
) -> None:
    """Reinforce a model on problems with verifiable answers (GRPO, reward for a correct box).

    The result is a Hugging Face folder, DIR/stages/rl.start.…/model. Every response is kept in rollouts/ beside it.

    \b
      octo rl smollm2 --problems sums.jsonl --steps 20 --out runs/rl
      octo rl smollm2 --problems sums.jsonl --steps 20 --out runs/rl \\
           --template complex --set rl.clip_high=0.28
    """
    from octothinker.config import RL, Eval, Experiment, LengthSchedule, Problems, StartModel

    experiment = Experiment(
        name="rl",
        seeds=(seed,),
        model=StartModel(path=model),
        sources={},
        problems={"train": Problems(path=problems, question=question, answer=answer)},
        midtrain=(),
        rl=RL(
            problems="train",
            steps=steps,
            prompts_per_step=prompts,
            minibatch_prompts=prompts // 2 if prompts % 2 == 0 else prompts,
            group_size=group_size,
            template=template.replace("\\n", "\n"),
            stop=tuple(stop or ()),
            length=LengthSchedule(limits=((0, max_tokens),)),
            lr=lr,
            precision=chosen(precision),
        ),
        rl_from=("start",),
        eval=Eval(problems=()),
    )
    go(override(experiment, settings or []), out)
