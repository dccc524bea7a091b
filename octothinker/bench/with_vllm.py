"""vLLM for CPU, offline, in one process. Runs in its own venv: nothing of ours is imported but the tick's type."""

from __future__ import annotations

from typing import Any

from vllm import LLM, SamplingParams

from octothinker.bench.worker import Tick


def rollout(spec: dict[str, Any], tick: Tick) -> None:
    """`setting`: eager, or compiled, which is its default. The group's prompt is prefilled once (prefix caching)."""
    count = len(spec["prompts"]) * spec["group"]
    llm = LLM(
        model=spec["folder"],
        dtype=spec["setting"].get("dtype", "bfloat16"),
        enforce_eager=spec["setting"]["eager"],
        enable_prefix_caching=True,
        max_num_seqs=count,
        max_model_len=max(map(len, spec["prompts"])) + spec["tokens"],
    )
    ask = SamplingParams(n=spec["group"], temperature=1.0, max_tokens=spec["tokens"], ignore_eos=True, detokenize=False)
    prompts: Any = [{"prompt_token_ids": p} for p in spec["prompts"]]
    while True:
        answers = llm.generate(prompts, ask, use_tqdm=False)
        if any(len(out.token_ids) != spec["tokens"] for answer in answers for out in answer.outputs):
            raise RuntimeError("a response ended early")
        tick()
