"""octothinker: which mid-training makes a base model fit for reinforcement learning?"""

__version__ = "0.1.0"
