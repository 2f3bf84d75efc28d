"""Pictures to H.264 packets with exact times."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from vipnas_cli.errors import OutputError
from vipnas_cli.media.frames import NO_YUV, UNSPECIFIED, Image, VideoInfo
from vipnas_cli.media.limits import LARGE_PIXELS

# Measured on 720p: half the bytes of `superfast` for 8 instead of 5 ms a frame on one core; slower ones save no more.
PRESET = "veryfast"
# The matrices between RGB and YUV that FFmpeg converts (ITU-T H.273).
CONVERTIBLE_MATRICES = frozenset({1, 5, 6, 7, 9})
BT709, BT601 = 1, 6
# What has no matrix of its own gets the one that players take for pictures of its height.
HD_LINES = 720
# The last picture of a video may last as many mean frames; if the header says more, it was not the last.
LONGEST_LAST = 4


class PictureEncoder:
    """Encodes RGB pictures of the size of `info`, their times in its time base."""

    def __init__(self, container: OutputContainer, info: VideoInfo, crf: int) -> None:
        if "libx264" not in av.codecs_available:
            raise OutputError("this build of PyAV cannot encode H.264", "Install PyAV with pip, whose wheels can.")
        self._info = info
        self._matrix = matrix = _matrix_for(info)
        self._mean_step = max(1, round(1 / (info.average_rate * info.time_base)))
        self._duration = 0 if info.duration_s is None else round(Fraction(info.duration_s) / info.time_base)
        self._first_pts = 0
        # When the last picture ends, after `flush`.
        self.end = 0
        self._reformatter = VideoReformatter()
        self._held: VideoFrame | None = None
        options = {"crf": str(crf), "preset": PRESET}
        if info.width * info.height > LARGE_PIXELS:
            options["tune"] = "zerolatency"  # without pictures to look ahead to, which would fill the memory
        self._stream: VideoStream = container.add_stream(
            "libx264", info.average_rate, options=options, time_base=info.time_base
        )
        context = self._stream.codec_context
        context.width, context.height = info.width + info.width % 2, info.height + info.height % 2
        context.pix_fmt = "yuv420p"
        context.flags |= Flags.frame_duration  # packets last as long as their pictures, not as the mean one
        context.sample_aspect_ratio = info.pixel_aspect
        context.color_range, context.colorspace = int(ColorRange.MPEG), matrix
        context.color_primaries, context.color_trc = info.color.primaries, info.color.transfer

    def picture(self, image: Image) -> VideoFrame:
        """A copy of an image for `encode`; odd sizes repeat their last row or column, as 4:2:0 needs even ones."""
        right, bottom = image.shape[1] % 2, image.shape[0] % 2
        if right or bottom:
            image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        return VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")

    def encode(self, picture: VideoFrame, pts: int) -> list[Packet[VideoStream]]:
        """The packets that are ready, one picture late: only the next one tells how long a picture lasts."""
        picture.colorspace = self._matrix
        # Averaging the colours of four pixels; the default takes one and darkens by a level.
        frame = self._reformatter.reformat(
            picture, format="yuv420p", interpolation=Interpolation.AREA, dst_color_range=ColorRange.MPEG, threads=1
        )
        frame.pts, frame.time_base = pts, self._info.time_base
        held, self._held = self._held, frame
        if held is None:
            self._first_pts = pts
            return []
        return self._encode(held, pts - (held.pts or 0))

    def flush(self) -> list[Packet[VideoStream]]:
        """The remaining packets; `encode` cannot follow."""
        if self._held is None:
            return []
        held, self._held = self._held, None
        left = self._first_pts + self._duration - (held.pts or 0)
        duration = left if 0 < left <= LONGEST_LAST * self._mean_step else self._mean_step
        self.end = (held.pts or 0) + duration
        return self._encode(held, duration) + self._stream.encode(None)

    def _encode(self, frame: VideoFrame, duration: int) -> list[Packet[VideoStream]]:
        frame.duration = duration
        return self._stream.encode(frame)


def _matrix_for(info: VideoInfo) -> int:
    """The matrix to convert with and to name: that of the source, also where it names none, if it has one."""
    if info.color.matrix == NO_YUV:
        return BT709 if info.height >= HD_LINES else BT601
    return info.color.matrix if info.color.matrix in CONVERTIBLE_MATRICES else UNSPECIFIED
