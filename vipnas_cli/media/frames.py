"""What travels through a run: pictures in, poses out, and the facts about the video they come from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.media.address import Origin
from vipnas_cli.pose.people import People

Image = NDArray[np.uint8]

# Numbers of ITU-T H.273: the matrix of pictures that are no YUV (RGB, a palette, grey), and what nothing is said of.
NO_YUV, UNSPECIFIED = 0, 2


@dataclass(frozen=True)
class Frame:
    """One picture: RGB (H, W, 3), upright; `index` counts delivered frames, `pts` is in units of `time_base`."""

    index: int
    pts: int
    time_base: Fraction
    image: Image

    @cached_property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class ColorTags:
    """How a video says its YUV values are meant, as the numbers of ITU-T H.273; 2 is unspecified."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def hdr(self) -> str | None:
        """The name of a transfer with a high dynamic range, if it is one."""
        return {16: "PQ", 18: "HLG"}.get(self.transfer)


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video; `width` and `height` are those of the upright picture.

    `average_rate` is a hint: time is pts and `time_base`. `frames` estimates what will be delivered.
    `duration_s` is the whole video's. `rotation` is the counter-clockwise turn (0, 90, 180, 270) that was applied,
    before the picture was mirrored up and down where it is `mirrored`.
    `pixel_aspect` is the width of its pixels over their height, as good as 1.
    `drawn` says that poses are drawn into its pictures, by `run`.
    `notes` say what was chosen where the file leaves a choice.
    """

    path: Origin
    width: int
    height: int
    time_base: Fraction
    average_rate: Fraction
    frames: int | None = None
    duration_s: float | None = None
    rotation: int = 0
    mirrored: bool = False
    audio: tuple[str, ...] = ()
    codec: str = ""
    pixel_aspect: Fraction = Fraction(1)
    color: ColorTags = ColorTags()
    drawn: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FrameResult:
    """The poses of one frame; `key` says that the key network ran on it.

    `others` are followed, too, but not told of (None: nobody): they are there only for their faces to be blurred.
    """

    frame_index: int
    pts: int
    time_s: float
    people: People
    key: bool
    others: People | None = None
