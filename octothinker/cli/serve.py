"""`octo serve`: a model folder behind the OpenAI interface."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from octothinker.cli.common import Model, console


def serve(
    model: Model,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one; the address is printed.")] = 8000,
    host: Annotated[str, typer.Option(help="There are no keys: think before you open it to a network.")] = "127.0.0.1",
    batch: Annotated[int, typer.Option(min=1, help="Requests decoded together.")] = 16,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option()] = "fp32",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all cores.")] = None,
) -> None:
    """Serve a model on this machine, for `octo corpus`, `octo eval` or anything that speaks to OpenAI's interface.

    \b
      octo serve smollm2
      octo serve runs/nano/stages/rl.long.s0-0123456789abcdef/model --port 8001
    """
    import torch

    from octothinker.model.engine import Engine
    from octothinker.model.hf import load_model, resolve_model
    from octothinker.model.serve import Serving
    from octothinker.model.tokenizer import Tokenizer
    from octothinker.train.dist import device

    if threads:
        torch.set_num_threads(threads)
    folder = resolve_model(model)
    folder = folder / "model" if (folder / "model").is_dir() else folder
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    engine = Engine(load_model(folder, dtype).to(device()), Tokenizer.load(folder), dtype=dtype)
    with Serving(engine, folder.name if folder.name != "model" else folder.parent.name, host, port, batch) as serving:
        console().print(f"Serving {serving.name} at {serving.url}#{serving.name} (Ctrl-C ends it)", soft_wrap=True)
        serving.serve_forever()
