"""A real pretrained model on two cores: SmolLM2-135M, mid-trained a little and reinforced on generated sums.

    octo import smollm2 smollm2                                       makes the folder it starts from
    octo run smollm2-135m --set sources.gsm8k.path=gsm8k/train.jsonl

Sizes are chosen for an afternoon on two cores, not for a good model: the whole path on real weights is the point.
"""

from __future__ import annotations

from octothinker.config import RL, Eval, Experiment, LengthSchedule, Midtrain, Problems, Schedule, Source, StartModel

GENERATED = "octothinker.recipes.nano_problems"
SHORT_STYLES = {"short": 0.6, "short-unboxed": 0.4}
LEVELS = [1, 2]  # longer chains are beyond a 135M model: RL would see no reward


def smollm2_135m() -> Experiment:
    common = {"seq_len": 256, "batch_size": 8, "micro_batch": 4, "keep_last": 1}
    return Experiment(
        name="smollm2-135m",
        note="SmolLM2-135M-Instruct (4-bit weights, dequantised): stable + short decay on GSM8K and generated problems, RL.",
        model=StartModel(path="smollm2"),
        sources={
            "gsm8k": Source(
                path="gsm8k/train.jsonl",
                template="Question:{question}\nAnswer: {answer}",
                licence="MIT",
                note="GSM8K's training set, given by you: --set sources.gsm8k.path=FILE.",
            ),
            "worked": Source(generator=f"{GENERATED}:worked_text", args={"seed": 0, "documents": 4_000}),
            "sums": Source(
                generator=f"{GENERATED}:qa",
                args={"styles": SHORT_STYLES, "seed": 0, "documents": 8_000},
                template="Question:{question}\nAnswer: {answer}",
            ),
        },
        problems={
            "sums": Problems(
                generator=f"{GENERATED}:problems",
                args={"split": "train", "per_level": 400, "seed": 0, "levels": LEVELS},
            ),
            "sums-test": Problems(
                generator=f"{GENERATED}:problems", args={"split": "test", "per_level": 50, "seed": 0, "levels": LEVELS}
            ),
        },
        midtrain=(
            Midtrain(
                name="stable",
                mixture={"gsm8k": 0.7, "worked": 0.3},
                tokens=143_360,  # 70 steps of 2,048 tokens
                schedule=Schedule(kind="constant", lr=1e-4),
                **common,  # type: ignore[arg-type]
            ),
            Midtrain(
                name="short",
                parent="stable",
                mixture={"gsm8k": 0.4, "sums": 0.6},
                tokens=61_440,  # 30 steps
                schedule=Schedule(kind="cosine"),
                **common,  # type: ignore[arg-type]
            ),
        ),
        rl=RL(
            problems="sums",
            steps=10,
            prompts_per_step=8,
            minibatch_prompts=8,
            group_size=8,
            template="simple",
            stop=("\nQuestion:",),
            length=LengthSchedule(limits=((0, 96),)),
            lr=5e-6,
            micro_batch_tokens=2_048,
            rollout_batch=64,
        ),
        rl_from=("start", "short"),
        base="start",
        eval=Eval(problems=("sums-test",), samples=4, max_tokens=96, stop=("\nQuestion:",), pass_k=(1, 2, 4), batch=64),
    )
