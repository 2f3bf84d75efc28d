"""What a run says about itself, in the words of a page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

PLAIN = ("provider", "threads", "version", "budget")


@dataclass(frozen=True)
class RunFacts:
    """Figures, settings and the busy seconds of each stage of a run that took `wall_s`; its frames, if known."""

    figures: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    frames: int | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Those in the summary that `run --json` prints; whatever it lacks is left out."""
        figures = []
        if "fps" in document:
            figures.append(("frames per second of the run", f"{document['fps']:.1f}"))
        if "macs_per_person_frame" in document:
            cost = document["macs_per_person_frame"] + 0.0
            figures.append(("GFLOPs per person and frame", f"{cost / 1e9:.3f}"))
        if document.get("detector_macs_per_frame"):
            figures.append(("GFLOPs of finding people, per frame", f"{document['detector_macs_per_frame'] / 1e9:.3f}"))
        stages = {str(stage): float(seconds) for stage, seconds in document.get("busy_s", {}).items()}
        frames = int(document["frames"]) if "frames" in document else None
        return cls(tuple(figures), tuple(_settings(document)), stages, float(document.get("wall_s", 0)), frames)


def _settings(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(name, str(document[name])) for name in PLAIN if document.get(name) is not None]
    if isinstance(document.get("command"), list):
        found.append(("command", shlex.join(map(str, document["command"]))))
    if "key_frames" in document:
        reasons = document.get("key_frame_reasons", {})
        early = ", ".join(f"{count} early: {reason}" for reason, count in reasons.items() if reason != "cycle")
        found.append(("key frames", f"{document['key_frames']}{f' ({early})' if early else ''}"))
    if document.get("damaged_frames"):
        found.append(("damaged frames", str(document["damaged_frames"])))
    found += [("note", str(note)) for note in document.get("notes", [])]
    return found
