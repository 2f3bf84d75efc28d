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


@dataclass(frozen=True)
class KeyErrors:
    """What makes followers trust any key network: heatmaps of key frames that are drawn, and errors put into them.

    `drawn` is the share of clips whose key heatmaps are drawn from the labels in place of a network's; these always
    have errors, those of networks in the share `spoiled` of clips. Errors: peaks are moved by `jitter` times the σ of
    a target, widths change by up to the factor exp(`width`) either way; of joints or left-right pairs the share
    `missed` is blank, `exchanged` has changed sides, and `ghosts` has a second peak elsewhere.
    """

    drawn: float = 0.0
    spoiled: float = 0.0
    jitter: float = 0.6
    width: float = 0.4
    missed: float = 0.05
    exchanged: float = 0.03
    ghosts: float = 0.05
