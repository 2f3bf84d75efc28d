"""The options of `vipnas import`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.errors import UsageError
from vipnas_cli.inference.bounds import LEAST_DETECTOR_SIZE, MOST_DETECTOR_SIZE
from vipnas_cli.spec.imported import LEAST_PADDING, MOST_PADDING

READING = "How the file is read (found out by trials where not stated)"
DETECTOR = "Person detector"


class ColourOrder(StrEnum):
    """Which channel comes first."""

    rgb = "rgb"
    bgr = "bgr"


class CellGrid(StrEnum):
    """Where the cells of heatmaps have their centres."""

    corner = "corner"
    centre = "centre"
    edges = "edges"


class FrameFit(StrEnum):
    """Where a frame lies in a detector's picture of another shape."""

    corner = "corner"
    centre = "centre"
    stretch = "stretch"


@dataclass(frozen=True)
class ImportOptions:
    """Which files to import, how to read them, and where the bundle goes."""

    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="An ONNX pose network for crops of one person, or a .pth checkpoint of the paper's authors.",
            show_default=False,
        ),
    ] = None
    detector: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An ONNX person detector for the bundle. Without a pose network it goes into --into, or with the "
            "bundled pipelines into --out; the options on how a file is read, its name, source and licence then are "
            "the detector's.",
            show_default=False,
            rich_help_panel=DETECTOR,
        ),
    ] = None
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="The bundle whose detector it becomes.",
            show_default=False,
            rich_help_panel=DETECTOR,
        ),
    ] = None
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=LEAST_DETECTOR_SIZE,
            max=MOST_DETECTOR_SIZE,
            metavar="PIXELS",
            help="Longer side of its picture, where the file leaves it open.",
            show_default=False,
            rich_help_panel=DETECTOR,
        ),
    ] = None
    letterbox: Annotated[
        FrameFit | None,
        typer.Option(
            help="Where the frame lies in a picture of another shape: at the top left, in the middle, or stretched.",
            show_default=False,
            rich_help_panel=DETECTOR,
        ),
    ] = None
    person_class: Annotated[
        int | None,
        typer.Option(min=0, max=10000, help="The class of people.", show_default=False, rich_help_panel=DETECTOR),
    ] = None
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.99,
            help="The detector's score from which it is believed.",
            show_default=False,
            rich_help_panel=DETECTOR,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR|FILE",
            help="A new folder, or one file ending in .vipnas. Default: the network's name and .vipnas.",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(
            help="What the network is called. Default: the file's name.", show_default=False, rich_help_panel="Output"
        ),
    ] = None
    source: Annotated[
        str, typer.Option(help="Where the file comes from; it is recorded.", rich_help_panel="Output")
    ] = ""
    licence: Annotated[
        str, typer.Option(help="The licence of the weights; it is recorded.", rich_help_panel="Output")
    ] = "not stated"
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel="Output")] = (
        False
    )
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="The crop, where the file leaves it open, such as 256x192.",
            show_default=False,
            rich_help_panel=READING,
        ),
    ] = None
    colour: Annotated[
        ColourOrder | None,
        typer.Option(help="Which channel comes first.", show_default=False, rich_help_panel=READING),
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="R,G,B",
            help="What is subtracted from the bytes of red, green, blue; goes with --std.",
            show_default=False,
            rich_help_panel=READING,
        ),
    ] = None
    std: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="What the rest is divided by.", show_default=False, rich_help_panel=READING),
    ] = None
    grid: Annotated[
        CellGrid | None,
        typer.Option(
            help="Where cell c has its centre: corner (s c for s pixels a cell), centre (s c + (s - 1) / 2), edges "
            "(the first and last cell on the crop's edge pixels).",
            show_default=False,
            rich_help_panel=READING,
        ),
    ] = None
    padding: Annotated[
        float | None,
        typer.Option(
            min=LEAST_PADDING,
            max=MOST_PADDING,
            help="How much larger than the person's box the crop is, such as 1.25.",
            show_default=False,
            rich_help_panel=READING,
        ),
    ] = None
    known: Annotated[
        bool,
        typer.Option(
            "--list", help="Print public networks: score, cost, licence, where they are offered. Nothing is downloaded."
        ),
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print what was found as one JSON document.", rich_help_panel="Output")
    ] = False

    @property
    def network_name(self) -> str:
        """The name given, or the file's."""
        return self.name or _name_of(self.file or self.detector)

    @property
    def bundle(self) -> Path:
        """Where the bundle goes."""
        return self.out or self.into or Path(f"{self.network_name}.vipnas")

    def check(self) -> None:
        """UsageError for options that have nothing to say of what is imported."""
        if self.file is None and self.detector is None:
            raise UsageError("there is nothing to import", "name a pose network, or a detector with --detector")
        if self.into is not None and (self.file is not None or self.out is not None):
            raise UsageError("--into is for a detector alone", "leave it out, or the pose network and --out")
        pose = {"--grid": self.grid, "--size": self.size, "--padding": self.padding}
        finding = {
            "--into": self.into,
            "--detector-size": self.detector_size,
            "--letterbox": self.letterbox,
            "--person-class": self.person_class,
            "--threshold": self.threshold,
        }
        for unused, what in ((pose, self.file), (finding, self.detector)):
            for name, value in unused.items():
                if what is None and value is not None:
                    missing = "a pose network" if unused is pose else "--detector"
                    raise UsageError(f"{name} has no use without {missing}", "leave one of them out, or add the other")

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width as stated; UsageError for what is no size."""
        if self.size is None:
            return None
        parts = self.size.lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() and len(part) < 6 for part in parts):
            raise UsageError(f"--size {self.size} is no size", "state height and width, such as 256x192")
        return int(parts[0]), int(parts[1])

    @property
    def scaling(self) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
        """Mean and deviation of red, green and blue as stated; UsageError if only one of them is, or is no triple."""
        if self.mean is None and self.std is None:
            return None
        if self.mean is None or self.std is None:
            raise UsageError("--mean and --std go together", "state both, in units of bytes")
        mean, std = _triple("--mean", self.mean), _triple("--std", self.std)
        if not all(value > 0 for value in std):
            raise UsageError(f"--std {self.std} has a value that is not above 0", "state three positive numbers")
        return mean, std


def _name_of(path: Path | None) -> str:
    return "" if path is None else path.name.removesuffix(".onnx").removesuffix(".pth")


def _triple(option: str, text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text} is not three numbers", "for example 123.675,116.28,103.53") from None
    return red, green, blue
