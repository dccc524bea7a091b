"""The paper's experiment in small: minutes on two CPU cores, nothing downloaded (docs/nano.md has reasons and numbers).

base (general text, some bare question-answer pairs)
  -> stable (maths text, constant rate)
       -> short | long | hybrid (question-answer decay, rate falling to a tenth)
RL from base and from each branch under identical conditions; the same evaluation before and after
"""

from __future__ import annotations

from typing import Literal

from octothinker.config import (
    RL,
    AdamW,
    Eval,
    Experiment,
    LengthSchedule,
    Midtrain,
    ModelConfig,
    Problems,
    Schedule,
    Source,
    StartModel,
    TokenizerConfig,
)

GENERATORS = "octothinker.recipes.nano_problems"
QA = "Question:{question}\nAnswer: {answer}"
RATE = 3e-3
SEQ_LEN = 128
PRECISION: Literal["fp32", "bf16"] = "fp32"  # most laptops multiply bf16 several times slower than fp32


def _qa(documents: int, seed: int, **styles: float) -> Source:
    args = {"styles": {name.replace("_", "-"): share for name, share in styles.items()}}
    return Source(generator=f"{GENERATORS}:qa", args={**args, "documents": documents, "seed": seed}, template=QA)


def _stage(name: str, parent: str | None, tokens: int, schedule: Schedule, **mixture: float) -> Midtrain:
    return Midtrain(
        name=name,
        parent=parent,
        mixture=mixture,
        tokens=tokens,
        seq_len=SEQ_LEN,
        batch_size=8,
        schedule=schedule,
        optimizer=AdamW(muon=True),
        precision=PRECISION,
    )


def nano() -> Experiment:
    """The whole experiment; `--seeds 0,1,2,3,4,5` for the study of docs/nano.md."""
    decay = Schedule(kind="cosine", final_ratio=0.1)
    return Experiment(
        name="nano",
        note="0.84M parameters; chains of additions and subtractions with a verifier",
        model=StartModel(
            config=ModelConfig(
                vocab_size=384,
                hidden_size=128,
                intermediate_size=384,
                num_layers=4,
                num_heads=4,
                num_kv_heads=2,
                head_dim=32,
                max_position=1024,
            )
        ),
        tokenizer=TokenizerConfig(
            vocab_size=384, sources=("prose", "base_qa", "worked", "short_qa", "long_qa"), max_documents=1000
        ),
        sources={
            "prose": Source(generator=f"{GENERATORS}:library_prose", args={"max_chars": 1_100_000}),
            "base_qa": _qa(12_000, 1, bare=0.58, bare_boxed=0.37, short=0.03, long=0.02),
            "worked": Source(generator=f"{GENERATORS}:worked_text", args={"documents": 9_000, "seed": 2}),
            "short_qa": _qa(10_000, 3, short=0.28, short_unboxed=0.36, guess=0.36),
            "long_qa": _qa(6_000, 4, long=0.28, long_unboxed=0.36, guess=0.36),
        },
        problems={
            "train": Problems(generator=f"{GENERATORS}:problems", args={"split": "train", "per_level": 500, "seed": 5}),
            "test": Problems(generator=f"{GENERATORS}:problems", args={"split": "test", "per_level": 60, "seed": 6}),
        },
        midtrain=(
            _stage(
                "base",
                None,
                700_000,
                Schedule(kind="constant", lr=RATE, warmup_tokens=50_000),
                prose=0.5,
                base_qa=0.5,
            ),
            _stage("stable", "base", 1_200_000, Schedule(kind="constant"), prose=0.15, worked=0.85),
            _stage("short", "stable", 400_000, decay, prose=0.1, worked=0.3, short_qa=0.6),
            _stage("long", "stable", 400_000, decay, prose=0.1, worked=0.3, long_qa=0.6),
            _stage("hybrid", "stable", 400_000, decay, prose=0.1, worked=0.3, short_qa=0.3, long_qa=0.3),
        ),
        rl=RL(
            problems="train",
            steps=60,
            prompts_per_step=32,
            group_size=8,
            minibatch_prompts=32,
            length=LengthSchedule(limits=((0, 96), (30, 160))),
            lr=1e-4,
            optimizer=AdamW(beta2=0.99, weight_decay=0.0),
            precision=PRECISION,
            eval_problems=None,
        ),
        rl_from=("base", "short", "long", "hybrid"),
        base="base",
        eval=Eval(problems=("test",), samples=8, max_tokens=160, pass_k=(1, 2, 4, 8), precision=PRECISION),
        threads=1,
    )
