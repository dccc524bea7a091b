"""A tiny random model behind `octo serve`'s server, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from octothinker.config import ModelConfig
from octothinker.model.engine import Engine
from octothinker.model.hf import save_model
from octothinker.model.llama import Llama
from octothinker.model.serve import Serving
from octothinker.model.tokenizer import Tokenizer, train_tokenizer

CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
CHAT += "{% if add_generation_prompt %}assistant: {% endif %}"


def tiny_engine(folder: Path, context: int = 256) -> Engine:
    """Written to `folder` and read from there; random weights of a fixed seed."""
    plain = train_tokenizer(["user: Is 12 + 30 = 42?\nassistant: Yes, it is 42. "] * 3, 300)
    plain.save(folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    tokenizer = Tokenizer.load(folder)
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 8,
    }
    model = Llama(ModelConfig(vocab_size=tokenizer.vocab_size, max_position=context, **shape))  # type: ignore[arg-type]
    save_model(folder, model, tokenizer)
    return Engine(model, tokenizer)


@contextmanager
def serve(engine: Engine, name: str = "tiny") -> Iterator[Serving]:
    with Serving(engine, name, batch=4) as serving:
        threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield serving
        serving.shutdown()
