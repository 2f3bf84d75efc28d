"""How long and how fast a network learns."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoopOptions:
    """Length and speed of learning; `learning_rate` is the peak after a linear warm-up of `warmup` steps.

    Without `milestones` (steps) the rate falls along a cosine to `final_factor` of its peak, with them it falls to
    `milestone_factor` of what it was at each. `clip_norm` 0 clips nothing; `average_decay` 0 averages nothing.
    `synced_batch_norm` normalises over the batch of all processes instead of each process's share.
    """

    steps: int
    learning_rate: float = 1e-3
    trunk_factor: float = 0.5
    weight_decay: float = 0.02
    warmup: int = 200
    final_factor: float = 0.02
    clip_norm: float = 5.0
    average_decay: float = 0.998
    save_every_s: float = 180.0
    optimizer: Literal["adamw", "adam"] = "adamw"
    milestones: tuple[int, ...] = ()
    milestone_factor: float = 0.1
    synced_batch_norm: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
