"""TRL's GRPOTrainer: one optimiser step a rollout, no KL term, the same grading, every response of full length."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from octothinker.bench.with_transformers import Paced
from octothinker.bench.worker import Tick
from octothinker.data.prompts import render
from octothinker.grade.pool import Grader, Item
from octothinker.records import read_jsonl


def grpo(spec: dict[str, Any], tick: Tick) -> None:
    """`setting`: bf16 autocast or not, the weights' own dtype, responses a forward pass of the update."""
    setting, group = spec["setting"], spec["group"]
    responses = len(spec["prompts"]) * group
    rows = read_jsonl(Path(spec["problems"]) / "problems.jsonl")
    data = [{"prompt": render("simple", row["question"]), "gold": row["answer"]} for row in rows]
    grader = Grader()

    def reward(
        completions: list[str], completion_ids: list[list[int]], gold: list[str], **_: Any
    ) -> list[float | None]:
        if any(len(ids) != spec["tokens"] for ids in completion_ids):
            raise RuntimeError("a response ended early")
        grader.grade([Item(response=text, gold=g, truncated=True) for text, g in zip(completions, gold, strict=True)])
        return [1.0 if i % 2 == 0 else -1.0 for i in range(len(completions))]  # as on our side

    rows_at_once = min(setting["rows"], responses)
    with tempfile.TemporaryDirectory() as out:
        config = GRPOConfig(
            output_dir=out,
            max_steps=1_000_000,
            per_device_train_batch_size=rows_at_once,
            gradient_accumulation_steps=responses // rows_at_once,
            num_generations=group,
            max_completion_length=spec["tokens"],
            generation_kwargs={"eos_token_id": None},
            model_init_kwargs={"dtype": setting["weights"]},
            temperature=1.0,
            beta=0.0,
            learning_rate=spec["lr"],
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            adam_beta2=0.999,
            weight_decay=0.0,
            max_grad_norm=1.0,
            bf16=setting["bf16"],
            gradient_checkpointing=False,  # on by default; slower where memory does not ask for it
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            spec["folder"],
            reward,
            config,
            train_dataset=Dataset.from_list(data),
            callbacks=[Paced(tick, spec["steps"])],
        )
        trainer.eos_token_ids = [-1]  # it would cut responses there after generating them
        trainer.train()
