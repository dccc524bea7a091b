"""What `octo eval --suite` asks, and how.

`paper`: the paper's few-shot sets, greedy, 1,024 tokens; the verdict of its authors' rule stands beside ours. `full`: every
set, zero-shot in the template of RL, greedy and sampled, the same protocol before and after RL. `quick`: a first look.
"""

from __future__ import annotations

from octothinker.config import Eval

PAPER = (
    *("gsm8k", "math", "math500", "olympiad_bench", "amc23", "aime24", "sat", "mathqa", "mmlu_stem"),
    *("ocw", "mawps", "svamp", "asdiv", "tabmwp"),
)

SUITES = {
    "paper": Eval(problems=PAPER, samples=0, max_tokens=1024, template="few_shot", answer="benchmark"),
    "full": Eval(
        problems=(*PAPER, "aime25", "minerva_math", "college_math", "gpqa"),
        samples=4,
        samples_small=16,
        max_tokens=4096,
        pass_k=(1, 2, 4, 8, 16),
    ),
    "quick": Eval(
        problems=("gsm8k", "math500", "svamp", "mmlu_stem"),
        samples=0,
        max_tokens=512,
        limit=50,
        template="few_shot",
        answer="benchmark",
    ),
}
