"""The options of `vipnas eval` as typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvalOptions:
    """What both commands take; `split`, `early_keys`, `joint_score` and `mot` matter for sequences only."""

    data: Path | None = None
    split: str = "val"
    predictions: Path | None = None
    boxes: str = "gt"
    weights: Path | None = None
    budget: str | None = None
    flip: bool = False
    early_keys: bool = True
    joint_score: float | None = None
    mot: str = "poseval"
    out: Path | None = None
    plots: Path | None = None
    workers: int = 0
    threads: int = 0
    provider: str = "auto"
    json: bool = False
    quiet: bool = False

    @property
    def resolved_workers(self) -> int:
        """As many as there are cores, unless said otherwise."""
        from vipnas_cli.latency.machine import usable_cores

        return self.workers or usable_cores()

    @property
    def chatty(self) -> bool:
        """Whether more than the scores is printed."""
        return not self.json and not self.quiet
