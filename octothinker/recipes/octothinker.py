"""The paper's experiment at 1B, 3B and 8B (arXiv 2506.20512), with its tables in full.

    Llama 3 base -> stable, 200B tokens -> short | long | hybrid decay, 20B tokens each -> RL from the base and each branch

Every value is the paper's unless `# ours:` stands beside it; why is said there. Nothing runs here on import: look first with
`octo plan octothinker-3b --devices 64 --tflops 989`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from octothinker.config import (
    RL,
    AdamW,
    Eval,
    Experiment,
    LengthSchedule,
    Midtrain,
    ModelConfig,
    Problems,
    RopeScaling,
    Schedule,
    Source,
    StartModel,
)
from octothinker.data.files import Position, Row, find, read
from octothinker.typed import ConfigError

SEQUENCE, BATCH = 8_192, 512  # 4.19M tokens a step
STABLE_STEPS, DECAY_STEPS = 50_000, 5_000  # "200B" and "20B": 209.7B and 21.0B tokens at that batch

SCALING = RopeScaling(factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position=8_192)
SHAPES = {
    # The bases' own shapes (their config.json), so that a plan needs no download.
    "meta-llama/Llama-3.2-1B": ModelConfig(
        vocab_size=128_256,
        hidden_size=2_048,
        intermediate_size=8_192,
        num_layers=16,
        num_heads=32,
        num_kv_heads=8,
        head_dim=64,
        rope_theta=500_000.0,
        rope_scaling=SCALING,
        max_position=131_072,
    ),
    "meta-llama/Llama-3.2-3B": ModelConfig(
        vocab_size=128_256,
        hidden_size=3_072,
        intermediate_size=8_192,
        num_layers=28,
        num_heads=24,
        num_kv_heads=8,
        head_dim=128,
        rope_theta=500_000.0,
        rope_scaling=SCALING,
        max_position=131_072,
    ),
    "meta-llama/Llama-3.1-8B": ModelConfig(
        vocab_size=128_256,
        hidden_size=4_096,
        intermediate_size=14_336,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        rope_theta=500_000.0,
        rope_scaling=RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position=8_192),
        tie_embeddings=False,
        max_position=131_072,
    ),
}

# Revisions that others pin; the data sets without one count by their name, so pin them before a run that must repeat.
MEGAMATH = "hf://datasets/LLM360/MegaMath@3cbc64616594d6bc8759abaa0b2a71858f880f0d"
PRO_MAX = "hf://datasets/OctoThinker/MegaMath-Web-Pro-Max@b5129b6"
DCLM = "hf://datasets/mlfoundations/dclm-baseline-1.0@a3b142c183aebe5af344955ae20836eb34dcf69b"

QUESTION_ANSWER = "Question: {problem}\nAnswer: "  # ours: the paper gives this form for MegaMath-QA only

SOURCES = {
    "megamath-web-pro-max": Source(path=f"{PRO_MAX}/**/*.parquet", licence="ODC-BY; text by a Llama 3 model"),
    "megamath-web-pro": Source(path=f"{MEGAMATH}/megamath-web-pro/*.parquet", licence="ODC-BY"),
    "megamath-text-code": Source(path=f"{MEGAMATH}/megamath-text-code-block/*.parquet", licence="ODC-BY"),
    "megamath-code": Source(
        path=f"{MEGAMATH}/megamath-code/*.parquet",
        licence="ODC-BY; each file its own",
        note="The hub holds pointers into The Stack v2 here, not texts: fetch those and set this path to them.",
    ),
    "megamath-translated-code": Source(path=f"{MEGAMATH}/megamath-translated-code/*.parquet", licence="ODC-BY"),
    # The paper's form, `Question: … Answer: …`, is that of the texts as published. (Not checked by us.)
    "megamath-qa": Source(path=f"{MEGAMATH}/megamath-qa/**/*.parquet", licence="ODC-BY"),
    "dclm": Source(path=f"{DCLM}/**/*.jsonl.zst", licence="CC BY 4.0"),
    "openr1": Source(
        generator="octothinker.recipes.octothinker:openr1",
        args={"path": "hf://datasets/open-r1/OpenR1-Math-220k/data/*.parquet"},
        licence="Apache-2.0",
        note="The question, a newline, the thinking text.",
    ),
    "am-distilled": Source(
        # ours: which of its files the paper took is not said; the maths answers of R1 itself are the natural ones
        path="hf://datasets/a-m-team/AM-DeepSeek-Distilled-40M/math_r1_*.jsonl",
        template="{question}\n{answer}",  # ours: as OpenR1
        licence="not checked: see its card",
    ),
    "openmathinstruct2": Source(
        path="hf://datasets/nvidia/OpenMathInstruct-2/data/train-*.parquet",
        template=QUESTION_ANSWER + "{generated_solution}",
        licence="CC BY 4.0",
    ),
    "numinamath": Source(
        path="hf://datasets/AI-MO/NuminaMath-1.5/data/*.parquet",
        template=QUESTION_ANSWER + "{solution}",
        licence="Apache-2.0",
    ),
    # The paper keeps "only high-quality conversations"; how is not said. ours: all of them.
    "tulu-if": Source(
        path="hf://datasets/allenai/tulu-3-sft-personas-instruction-following/data/train-*.parquet",
        messages="messages",
        licence="ODC-BY",
    ),
    "wildchat": Source(
        path="hf://datasets/allenai/WildChat-1M/data/*.parquet", messages="conversation", licence="ODC-BY"
    ),
    "ultrachat": Source(
        path="hf://datasets/HuggingFaceH4/ultrachat_200k/data/train_sft-*.parquet", messages="messages", licence="MIT"
    ),
}

# ours: the paper gives the sum of the three, .10; these keep the smallest set at a few epochs
INSTRUCTION = {"tulu-if": 0.005, "wildchat": 0.07, "ultrachat": 0.025}

MIXTURES: dict[str, dict[str, float]] = {
    "stable": {
        "megamath-web-pro-max": 0.725,
        "dclm": 0.10,
        "megamath-text-code": 0.10,
        "megamath-code": 0.0125,
        "megamath-translated-code": 0.0125,
        "megamath-qa": 0.05,
    },
    "short": {
        "megamath-web-pro": 0.55,
        "dclm": 0.05,
        "megamath-qa": 0.025,
        **INSTRUCTION,
        "openmathinstruct2": 0.175,
        "numinamath": 0.10,
    },
    "long": {"megamath-web-pro": 0.55, "dclm": 0.05, **INSTRUCTION, "openr1": 0.15, "am-distilled": 0.15},
    "hybrid": {
        "megamath-web-pro": 0.55,
        "dclm": 0.05,
        **INSTRUCTION,
        "openr1": 0.10,
        "openmathinstruct2": 0.10,
        "numinamath": 0.10,
    },
}

PROBLEMS = {
    # MATH, levels 3 to 5: 8,523 problems, two of which have no answer.
    "math8k": Problems(
        generator="octothinker.recipes.octothinker:math8k",
        args={"path": "hf://datasets/hkust-nlp/SimpleRL-Zoo-Data/simplelr_qwen_level3to5/train.parquet"},
    ),
    "math500": Problems(path="hf://datasets/HuggingFaceH4/MATH-500/test.jsonl", question="problem"),
    "gsm8k": Problems(
        generator="octothinker.recipes.octothinker:gsm8k",
        args={"path": "hf://datasets/openai/gsm8k/main/test-*.parquet"},
    ),
}

RL_SETTINGS = RL(
    problems="math8k",
    steps=200,  # rollout steps: 400 gradient steps
    prompts_per_step=128,
    group_size=16,
    minibatch_prompts=64,
    template="complex",  # ours: the paper has both; the authors' released scripts for the final models use this one
    temperature=1.0,
    # 2k, 4k, 8k tokens at gradient steps 0, 200, 320. ours: for every start; the paper trains Hybrid with a fixed 4k
    length=LengthSchedule(limits=((0, 2_048), (100, 4_096), (160, 8_192))),
    lr=1e-6,
    optimizer=AdamW(beta1=0.9, beta2=0.999, weight_decay=0.01, clip_norm=1.0),  # ours: verl's defaults
    clip_low=0.2,
    clip_high=0.2,
    advantage="grpo",
    aggregate="token_mean",
    kl_coef=0.0,
    reward_correct=1.0,
    reward_wrong=-1.0,
    eval_problems="math500",
    eval_every=4,
    eval_limit=500,
    micro_batch_tokens=8_192,  # ours, as the next: what fits on 80 GB
    rollout_batch=32,
)

NOTE = (
    "ours, where the paper is silent: Adam betas 0.9/0.95, clipping 1.0, attention inside documents, moments carried into "
    "the branches, RL's Adam (verl's defaults), the split of the instruction data, forms of OpenMathInstruct-2, NuminaMath "
    "and AM-40M, one length schedule and template for all RL runs; and instead of few-shot before and greedy after RL, one "
    "zero-shot protocol, sampled and greedy, before and after."
)


def openr1(path: str) -> Iterator[dict[str, str]]:
    """Question, newline, thinking text of each OpenR1 answer that its authors verified and found complete."""
    for row in _rows(path):
        kept = zip(row.fields["generations"], row.fields["correctness_math_verify"], strict=True)
        for i, (answer, correct) in enumerate(kept):
            if correct and row.fields["is_reasoning_complete"][i]:
                thinking = answer.partition("<think>")[2].partition("</think>")[0].strip()
                if thinking:
                    yield {"text": f"{row.fields['problem']}\n{thinking}"}


def math8k(path: str) -> Iterator[dict[str, Any]]:
    """Problems of SimpleRL-Zoo's data, whose question and answer lie inside `extra_info`, as their authors store them."""
    for row in _rows(path):
        info = row.fields.get("extra_info")
        if not isinstance(info, dict) or "question" not in info:
            raise ConfigError(f"{row.where}: no extra_info.question; was the data set's layout changed?")
        if info.get("answer"):
            yield {"question": info["question"], "answer": str(info["answer"]), "level": info.get("level")}


def gsm8k(path: str) -> Iterator[dict[str, Any]]:
    """GSM8K's problems with their final answers; the field `answer` holds the working too."""
    for row in _rows(path):
        yield {"question": row.fields["question"], "answer": row.fields["answer"].rpartition("####")[2].strip()}


def _rows(path: str) -> Iterator[Row]:
    for file in find(path).values():
        yield from read(file, Position())


def _experiment(name: str, base: str, lr: float) -> Experiment:
    common: dict[str, Any] = {
        "seq_len": SEQUENCE,
        "batch_size": BATCH,
        "optimizer": AdamW(beta1=0.9, beta2=0.95, weight_decay=0.1, clip_norm=1.0),  # ours: betas and clipping
        "document_mask": True,  # ours
        "carry_optimizer": True,  # ours
        "micro_batch": 1,  # ours: what fits
        "compile": True,  # ours
    }
    stable = Midtrain(
        name="stable",
        mixture=MIXTURES["stable"],
        tokens=STABLE_STEPS * SEQUENCE * BATCH,
        schedule=Schedule(kind="constant", lr=lr),
        checkpoint_every=500,  # ours
        keep_every=5_000,  # ours: every 21B tokens, to fork other branches from
        **common,
    )
    decays = [
        Midtrain(
            name=branch,
            parent="stable",
            mixture=MIXTURES[branch],
            tokens=DECAY_STEPS * SEQUENCE * BATCH,
            schedule=Schedule(kind="cosine", final_ratio=0.1),
            checkpoint_every=500,  # ours
            **common,
        )
        for branch in ("short", "long", "hybrid")
    ]
    return Experiment(
        name=name,
        note=f"OctoThinker (arXiv 2506.20512) from {base}.\n{NOTE}",
        seeds=(0,),  # the paper's number; three would tell more
        model=StartModel(path=base),
        sources=SOURCES,
        problems=PROBLEMS,
        midtrain=(stable, *decays),
        rl=RL_SETTINGS,
        rl_from=("start", "short", "long", "hybrid"),
        base="start",
        # ours: see NOTE. The paper's few-shot numbers of 13 sets: `octo eval MODEL --few-shot --benchmarks …`
        eval=Eval(
            problems=("math500", "gsm8k"),
            samples=16,
            temperature=1.0,
            max_tokens=8_192,
            template=RL_SETTINGS.template,
            pass_k=(1, 2, 4, 8, 16),
        ),
    )


def octothinker_1b() -> Experiment:
    return _experiment("octothinker-1b", "meta-llama/Llama-3.2-1B", lr=5e-5)


def octothinker_3b() -> Experiment:
    return _experiment("octothinker-3b", "meta-llama/Llama-3.2-3B", lr=2e-5)


def octothinker_8b() -> Experiment:
    return _experiment("octothinker-8b", "meta-llama/Llama-3.1-8B", lr=1e-5)
