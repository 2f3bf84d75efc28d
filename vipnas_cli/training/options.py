"""How long and how fast a network learns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoopOptions:
    """Length and speed of learning; learning rates are peaks of a warm-up and cosine schedule."""

    steps: int
    learning_rate: float = 1e-3
    trunk_factor: float = 0.5
    weight_decay: float = 0.02
    warmup: int = 200
    final_factor: float = 0.02
    clip_norm: float = 5.0
    average_decay: float = 0.998
    save_every_s: float = 180.0
