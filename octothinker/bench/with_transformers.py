"""Hugging Face transformers: `generate` and `Trainer`, with the settings their documentation recommends for a CPU."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, Trainer, TrainerCallback, TrainingArguments

from octothinker.bench.worker import Tick

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def rollout(spec: dict[str, Any], tick: Tick) -> None:
    """`setting`: dtype, attention, cache and, for the static cache, whether `generate` compiles its forward pass."""
    setting, group = spec["setting"], spec["group"]
    model = AutoModelForCausalLM.from_pretrained(
        spec["folder"], dtype=DTYPES[setting["dtype"]], attn_implementation=setting["attention"]
    ).eval()
    width = max(map(len, spec["prompts"]))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in spec["prompts"]])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in spec["prompts"]])
    model.generation_config = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=spec["tokens"],
        eos_token_id=None,  # nothing ends a response early
        pad_token_id=0,
        num_return_sequences=group,
        cache_implementation=setting["cache"],
        disable_compile=not setting.get("compile", False),
    )
    if setting.get("compile"):
        forward = torch.compile(model.forward, mode="default")
        model.forward = forward
    while True:
        out = model.generate(input_ids=ids, attention_mask=mask)
        if out.shape != (len(ids) * group, width + spec["tokens"]):
            raise RuntimeError(f"a response ended early: {tuple(out.shape)}")
        tick()


class Paced(TrainerCallback):
    def __init__(self, tick: Tick, steps: int) -> None:
        self.tick, self.steps = tick, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.steps == 0:
            self.tick()


def midtrain(spec: dict[str, Any], tick: Tick) -> None:
    """`setting`: bf16 (autocast over fp32 weights, as ours) or not, compile or not."""
    setting = spec["setting"]
    model = AutoModelForCausalLM.from_pretrained(spec["folder"], dtype=torch.float32)
    tokens = np.fromfile(f"{spec['shards']}/tokens-00000.bin", "<u2").astype(np.int64)
    rows = torch.from_numpy(tokens[: len(tokens) // spec["seq_len"] * spec["seq_len"]]).view(-1, spec["seq_len"])
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out,
            max_steps=1_000_000,
            per_device_train_batch_size=spec["batch"],
            optim="adamw_torch_fused",
            learning_rate=spec["lr"],
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            weight_decay=0.1,
            max_grad_norm=1.0,
            bf16=setting["bf16"],
            torch_compile=setting["compile"],
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        data = [{"input_ids": row, "labels": row} for row in rows]
        Trainer(model, arguments, train_dataset=data, callbacks=[Paced(tick, spec["steps"])]).train()
