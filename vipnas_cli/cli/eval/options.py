"""The options of `vipnas eval`: one record for each of its commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipnas_cli.cli.run.model import Provider
from vipnas_cli.errors import UsageError
from vipnas_cli.inference.bounds import LEAST_DETECTOR_SIZE, MOST_DETECTOR_SIZE
from vipnas_cli.inference.threads import MOST_THREADS

if TYPE_CHECKING:
    from vipnas_cli.latency.model import ModelChoice


class NumberSmooth(StrEnum):
    """Strength of the smoothing of numbers."""

    off = "off"
    low = "low"
    high = "high"


class Mot(StrEnum):
    """Rules of the tracking scores."""

    poseval = "poseval"
    clear_mot = "clear-mot"


Data = Annotated[
    Path | None,
    typer.Option(
        envvar="VIPNAS_DATA",
        metavar="DIR|FILE",
        help="A folder with images/ and annotations/, or its annotation file. Without it (and without `data` in the "
        "configuration file) a small synthetic set is made on the fly.",
        rich_help_panel="Data",
        show_default=False,
    ),
]
Split = Annotated[str, typer.Option(help="The folder of labels in annotations/.", rich_help_panel="Data")]
Predictions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR",
        help="Score these results instead of running a pipeline; no images are needed.",
        rich_help_panel="Data",
    ),
]
Boxes = Annotated[
    str,
    typer.Option(
        metavar="gt|detector|FILE",
        help="Person boxes: those of the labels, of the own detector, or of a .json list of image_id, bbox and score.",
        rich_help_panel="Data",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE",
        help="A folder of pipelines, an exported .onnx network, or a .safetensors checkpoint.",
        rich_help_panel="Model",
    ),
]
Exported = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE", help="A folder of pipelines, or an exported .onnx network.", rich_help_panel="Model"
    ),
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="0.5GFLOPs|12ms",
        help="Mean cost per person and frame over a cycle. FLOPs are multiply-accumulates. Default: 0.2GFLOPs.",
        rich_help_panel="Model",
    ),
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Average with the mirrored picture, at twice the cost.", rich_help_panel="Model")
]
EarlyKeys = Annotated[
    bool,
    typer.Option(
        "--early-keys/--no-early-keys",
        help="Look anew before a cycle ends where a pose gets lost; without, people cost what the cycle does.",
        rich_help_panel="Model",
    ),
]
JointScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="S",
        help="Leave out joints below this score (0–1): AP falls a little, MOTA rises. Default: all joints count.",
        rich_help_panel="Scores",
    ),
]
MotRules = Annotated[
    Mot,
    typer.Option(
        help="Rules of MOTA and MOTP. poseval skips the last frame of a sequence, and takes a frame where labels "
        "or predictions are missing for one miss and one false positive; clear-mot does neither.",
        rich_help_panel="Scores",
    ),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Write PoseTrack18 results here.", rich_help_panel="Output"),
]
OutFile = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write COCO results here.", rich_help_panel="Output")
]
Plots = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Draw the scores into this folder.", rich_help_panel="Output")
]
Workers = Annotated[
    int,
    typer.Option(
        min=0,
        max=MOST_THREADS,
        help="How many sequences or images run at once; 0 chooses.",
        rich_help_panel="Speed",
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        min=0,
        max=MOST_THREADS,
        help="Threads of the networks when their time is measured; 0 chooses.",
        rich_help_panel="Speed",
    ),
]
Device = Annotated[
    Provider, typer.Option(help="What the networks run on; auto: CUDA if there, else the CPU.", rich_help_panel="Speed")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel="Output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The scores only.", rich_help_panel="Output")]


@dataclass(frozen=True)
class EvalOptions:
    """What `eval posetrack` takes, and those after it in part."""

    data: Data = None
    split: Split = "val"
    predictions: Predictions = None
    boxes: Boxes = "gt"
    weights: Weights = None
    budget: BudgetText = None
    flip: Flip = False
    early_keys: EarlyKeys = True
    joint_score: JointScore = None
    mot: MotRules = Mot.poseval
    out: OutFolder = None
    plots: Plots = None
    workers: Workers = 0
    threads: Threads = 0
    provider: Device = Provider.auto
    json: Json = False
    quiet: Quiet = False

    @property
    def resolved_workers(self) -> int:
        """As many as there are cores, unless said otherwise."""
        from vipnas_cli.inference.threads import usable_cores

        return self.workers or usable_cores()

    @property
    def model(self) -> ModelChoice:
        """Which networks are scored, and how they run."""
        from vipnas_cli.inference.sessions import RuntimeOptions
        from vipnas_cli.latency.model import ModelChoice

        runtime = RuntimeOptions(self.threads, self.provider)
        return ModelChoice(self.weights, self.budget, self.flip, runtime, self.resolved_workers)

    @property
    def chatty(self) -> bool:
        """Whether more than the scores is printed."""
        return not self.json and not self.quiet


@dataclass(frozen=True)
class CocoOptions(EvalOptions):
    """What `eval coco` takes: still images have no splits, no cycles and no tracks."""

    split: str = field(default="", init=False)
    early_keys: bool = field(default=False, init=False)
    joint_score: float | None = field(default=None, init=False)
    mot: Mot = field(default=Mot.poseval, init=False)
    out: OutFile = None


@dataclass(frozen=True)
class PeopleOptions:
    """What `eval people` takes; `shortest` is a share of the image's height, `size` the detector's in pixels."""

    data: Data = None
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="A folder that holds a detector, or a .safetensors checkpoint. Default: the bundled one.",
            rich_help_panel="Model",
        ),
    ] = None
    shortest: Annotated[
        float,
        typer.Option(
            "--min-height",
            min=0,
            max=1,
            help="Ask for persons taller than this share of the image.",
            rich_help_panel="Scores",
        ),
    ] = 0.15
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score from which a detection counts for precision and recall. Default: what `run` asks of newcomers, "
            "or, with --no-distinct, the detector's own.",
            rich_help_panel="Scores",
        ),
    ] = None
    size: Annotated[
        int | None,
        typer.Option(
            "--detector-size",
            min=LEAST_DETECTOR_SIZE,
            max=MOST_DETECTOR_SIZE,
            metavar="PIXELS",
            help="Longer side of the picture that the detector sees, as in `vipnas run`. Default: the detector's own.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Look again at each box. Default: as `run` does.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None
    verifier: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .safetensors checkpoint that verifies the boxes. Default: what belongs to the detector.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None
    distinct: Annotated[
        bool,
        typer.Option(
            "--distinct/--no-distinct",
            help="Doubt boxes that show the pose of another one, as `run` does.",
            rich_help_panel="Model",
        ),
    ] = True
    threads: Threads = 0
    provider: Device = Provider.auto
    json: Json = False
    quiet: Quiet = False

    @property
    def evaluation(self) -> EvalOptions:
        """The data, weights and runtime, as the other commands take them."""
        return EvalOptions(
            data=self.data,
            weights=self.weights,
            threads=self.threads,
            provider=self.provider,
            json=self.json,
            quiet=self.quiet,
        )


@dataclass(frozen=True)
class SelectionOptions:
    """What `eval selection` takes; `people` has one number for each file of stills, or one for all.

    `held_back` is the share of the train sequences of the folder `clips` that no training saw.
    """

    stills: Annotated[
        tuple[Path, ...],
        typer.Option(
            metavar="FILE",
            help="A COCO keypoint file whose people the camera pans over; can be given again.",
            rich_help_panel="Data",
        ),
    ] = ()
    people: Annotated[
        tuple[int, ...],
        typer.Option(
            min=1,
            help="How many people of each file, or of each --stills in turn. Default: 100.",
            rich_help_panel="Data",
        ),
    ] = ()
    frames: Annotated[int, typer.Option(min=1, help="Frames of each walk.", rich_help_panel="Data")] = 8
    seed: Annotated[int, typer.Option(min=0, help="Draws the walks and the boxes.", rich_help_panel="Data")] = 0
    clips: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Labelled clips in PoseTrack18's layout.", rich_help_panel="Data"),
    ] = None
    held_back: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of the train clips that no training saw.", rich_help_panel="Data"),
    ] = 0.1
    clip_frames: Annotated[
        int, typer.Option(min=1, help="At most so many frames of each real clip.", rich_help_panel="Data")
    ] = 16
    weights: Exported = None
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Write score and standard error into the bundle that --weights names, so that --budget chooses by "
            "them.",
            rich_help_panel="Model",
        ),
    ] = False
    pipelines: Annotated[
        tuple[str, ...],
        typer.Option(
            "--pipeline",
            metavar="NAME",
            help="Score this one; can be given again. Default: all.",
            rich_help_panel="Model",
        ),
    ] = ()
    threads: Threads = 0
    provider: Device = Provider.auto
    json: Json = False
    quiet: Quiet = False

    @property
    def people_by_file(self) -> tuple[tuple[Path, int], ...]:
        """Each file of stills and how many people are taken from it; UsageError if the counts do not fit the files."""
        people = self.people or (100,)
        counts = people * len(self.stills) if len(people) == 1 else people
        if len(counts) != len(self.stills):
            raise UsageError(
                f"--people is given {len(counts)} times for {len(self.stills)} files",
                "give it once, or once for each --stills",
            )
        return tuple(zip(self.stills, counts, strict=True))


@dataclass(frozen=True)
class SteadinessOptions:
    """What `eval steadiness` takes."""

    clips: Annotated[tuple[Path, ...], typer.Argument(metavar="CLIP...", help="Videos.", show_default=False)]
    weights: Exported = None
    budget: BudgetText = None
    smooth: Annotated[
        NumberSmooth, typer.Option(help="Smoothing, as of the numbers of `run`.", rich_help_panel="Model")
    ] = NumberSmooth.off
    threads: Threads = 0
    provider: Device = Provider.auto
    json: Json = False
    quiet: Quiet = False
