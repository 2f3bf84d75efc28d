"""What `vipnas run` says at its end."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vipnas_cli import __version__
from vipnas_cli.api import PoseTracker
from vipnas_cli.cli.console import per_network, plural
from vipnas_cli.cli.run.notes import LISTED_PEOPLE, RunNotes
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.files import shown
from vipnas_cli.inference.pipeline import RunStatistics
from vipnas_cli.inference.tracker import Tracker
from vipnas_cli.latency.choice import Choice
from vipnas_cli.latency.model import per_person_frame
from vipnas_cli.media.address import hidden
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.metrics.steadiness import Steadiness
from vipnas_cli.spec import Budget

DAMAGED, INTERRUPTED = 5, 130


@dataclass(frozen=True)
class Made:
    """What a run was made from: its input, its options, and the words that were typed."""

    info: VideoInfo
    options: RunOptions
    command: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The entries of the summary's JSON document."""
        info = self.info
        return {
            "version": __version__,
            "command": list(self.command),
            "input": shown(str(info.path)),
            "width": info.width,
            "height": info.height,
            "codec": info.codec,
            "average_fps": round(float(info.average_rate), 3),
            "duration_s": info.duration_s and round(info.duration_s, 3),
            "budget_by_default": self.options.budget is None,
        }


def typed_words() -> tuple[str, ...]:
    """The command line without credentials."""
    return ("vipnas", *(shown(hidden(word)) for word in sys.argv[1:]))


def details(info: VideoInfo, tracker: PoseTracker) -> Iterator[str]:
    """What few want to know before a run: the input, the networks, versions."""
    length = "of unknown length" if info.duration_s is None else f"{info.duration_s:.2f} s"
    sound = f", sound {' '.join(info.audio)}" if info.audio else ""
    picture = f"{info.codec} {info.width} x {info.height}, {float(info.average_rate):.2f} fps"
    yield f"Input {info.path}: {picture}, {length}{sound}"
    choice = tracker.choice
    for position, network in enumerate(choice.pipeline.networks):
        yield f"Network {position}: {network.path.name}, {network.macs / 1e9:.3f} GFLOPs"
    yield f"Runs on {tracker.tracker.provider} with {_threads(choice)}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "av", "numpy"))
    yield f"vipnas {__version__}, Python {platform.python_version()}, {packages}"


@dataclass(frozen=True)
class RunReport:
    """Counts, times and true costs of a run; `budget` is what the pipeline was chosen by, if it was."""

    statistics: RunStatistics
    choice: Choice
    tracker: Tracker
    outputs: tuple[Path, ...]
    damaged: int
    made: Made
    notes: tuple[str, ...] = ()
    budget: Budget | None = None

    @property
    def exit_code(self) -> int:
        """What the run ends with: 0, or that it was interrupted or met damaged frames."""
        if self.statistics.interrupted:
            return INTERRUPTED
        return DAMAGED if self.damaged else 0

    @property
    def all_notes(self) -> tuple[str, ...]:
        """What was chosen or lost, in sentences."""
        return (*self.notes, *self.sentences)

    @property
    def remarks(self) -> tuple[str, ...]:
        """All that there is to know beside the figures: the notes, a budget that was exceeded, why nobody was found."""
        over = (_over_budget(self, self.over_budget),) if self.over_budget else ()
        nobody = (self.sentences.nobody,) if self.statistics.frames and not self.statistics.people else ()
        return (*self.all_notes, *over, *nobody)

    @property
    def sentences(self) -> RunNotes:
        """What there is to say about what was found."""
        made = self.made
        return RunNotes(made.options, made.info, self.statistics, self.choice, self.tracker, self.budget)

    @property
    def macs_per_person_frame(self) -> float:
        """What the pose networks really cost per person and frame: early key frames and those not believed included."""
        crops, followed = self.statistics.crops, self.statistics.people.total() + self.statistics.others.total()
        macs = [network.macs for network in self.choice.pipeline.networks]
        return per_person_frame(macs, crops, followed) if crops.total() else 0.0

    @property
    def over_budget(self) -> float | None:
        """The share by which that is above a budget in FLOPs, 0 within it; None for others, which nothing checks."""
        return self.budget.excess(self.macs_per_person_frame) if self.budget else None

    @property
    def detector_macs_per_frame(self) -> float:
        """The cost of the detector, and of verifying its boxes, spread over all frames."""
        tracker, detector, info = self.tracker, self.tracker.detector, self.made.info
        if detector is None or not self.statistics.frames:
            return 0.0
        looking = self.statistics.looks * detector.macs_for(info.height, info.width)
        verifying = tracker.crops_verified * detector.verifier.macs if detector.verifier else 0
        return (looking + verifying) / self.statistics.frames

    @property
    def fps(self) -> float:
        """Frames per second of the whole loop."""
        return self.statistics.frames / self.statistics.wall_s if self.statistics.wall_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """One JSON document with a schema version."""
        found = self.statistics
        return {
            "schema": 1,
            **self.made.to_json(),
            "outputs": [str(path) for path in self.outputs],
            "pipeline": self.choice.pipeline.name,
            "frames": found.frames,
            "damaged_frames": self.damaged,
            "notes": list(self.all_notes),
            "boxes_left_out": found.most_left_out,
            "interrupted": found.interrupted,
            "key_frames": found.key_frames,
            # Boxes that are given are taken, not looked for.
            "looks_for_people": found.looks if self.tracker.detector else 0,
            "boxes_verified": self.tracker.verified,
            "crops_verified": self.tracker.crops_verified,
            "boxes_compared": self.tracker.compared,
            "key_frame_reasons": dict(found.reasons),
            "people": len(found.people),
            "frames_by_person": {str(person): count for person, count in sorted(found.people.items())},
            "wall_s": round(found.wall_s, 3),
            "fps": round(self.fps, 2),
            "busy_s": {stage: round(seconds, 3) for stage, seconds in found.busy_s.items()},
            "macs_per_person_frame": round(self.macs_per_person_frame),
            "budget": str(self.budget) if self.budget else None,
            "over_budget": None if self.over_budget is None else round(self.over_budget, 4),
            "stated_macs_per_person_frame": round(self.choice.pipeline.macs_per_person_frame),
            "detector_macs_per_frame": round(self.detector_macs_per_frame),
            "provider": self.tracker.provider,
            **({"steadiness": found.steadiness.to_json()} if found.steadiness else {}),
            **self.choice.to_json(),
        }


def print_report(report: RunReport, console: Console) -> None:
    """The summary for people, on stderr."""
    found = report.statistics
    busy = found.busy_s
    table = Table.grid(padding=(0, 2))
    early = {reason: count for reason, count in found.reasons.items() if reason != "cycle"}
    note = f" ({', '.join(f'{count} early: {reason}' for reason, count in early.items())})" if early else ""
    table.add_row("frames", f"{found.frames}, {plural(found.key_frames, 'key frame')} among them{note}")
    table.add_row("people", _people(found.people))
    if found.steadiness:
        table.add_row("steadiness", _steadiness(found.steadiness))
    table.add_row("speed", f"{report.fps:.1f} fps, {found.wall_s:.1f} s")
    shares = ", ".join(f"{stage} {100 * busy[stage] / max(found.wall_s, 1e-9):.0f} %" for stage in busy)
    table.add_row("busy", f"{shares} of the time, side by side")
    table.add_row("cost", f"{report.macs_per_person_frame / 1e9:.3f} GFLOPs per person and frame")
    if report.over_budget:
        table.add_row("", _over_budget(report, report.over_budget))
    if report.tracker.detector is not None:
        table.add_row("", f"detector {report.detector_macs_per_frame / 1e9:.3f} GFLOPs per frame on top")
    table.add_row("runtime", f"{report.tracker.provider}, {_threads(report.choice)}")
    if report.damaged:
        table.add_row("damaged", f"{plural(report.damaged, 'frame')} could not be decoded")
    for note in report.all_notes:
        table.add_row("note", note)
    table.add_row("written", ", ".join(str(path) for path in report.outputs))
    console.print(table, highlight=False)
    if found.interrupted:
        console.print("Interrupted: the results hold all frames up to here.")
    if found.frames and not found.people:
        console.print(report.sentences.nobody)


def _people(frames: Counter[int]) -> str:
    """How many people there are, and on how many frames each of the first ids is."""
    ids = sorted(frames)
    listed = [f"id {person} on {plural(frames[person], 'frame')}" for person in ids[:LISTED_PEOPLE]]
    if len(ids) > LISTED_PEOPLE:
        listed.append(f"{len(ids) - LISTED_PEOPLE} more")
    return f"{len(ids)}{': ' if listed else ''}{', '.join(listed)}"


def _steadiness(found: Steadiness) -> str:
    """The measures in words; a step is a person in two consecutive frames."""
    if not found.steps:
        return "nobody in two consecutive frames"
    counts = {
        "a jump": found.jumps_per_100,
        "a spike": found.spikes_per_100,
        "exchanged sides": found.exchanges_per_100,
    }
    rates = "of 100 steps " + ", ".join(f"{rate:.1f} with {name}" for name, rate in counts.items())
    return f"{rates}, median acceleration {found.acceleration:.2f} % of the height"


def _over_budget(report: RunReport, share: float) -> str:
    """A warning with the figures."""
    stated, extra = report.choice.pipeline.macs_per_person_frame / 1e9, report.sentences.extra_costs
    told = f"{100 * share:.0f} % above the budget of {report.budget}"
    return f"{told}: on top of the cycle's {stated:.3f} came {extra}" if extra else told


def _threads(choice: Choice) -> str:
    """The threads per network and who chose them."""
    known = {"option": "by --threads or --jobs", "bench": "remembered from vipnas bench", "default": "the default"}
    threads, people = choice.runtime.resolved_threads, choice.runtime.resolved_side_by_side
    together = f", {people} people at the same time" if people > 1 else ""
    return f"{per_network(threads)}{together}, {known[choice.threads_from]}"
