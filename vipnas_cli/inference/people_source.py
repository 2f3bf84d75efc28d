"""Where the boxes of a key frame come from: the own detector, a file, or the whole frame.

Shapes: N boxes, H, W picture pixels.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.boxes import BoxesByFrame
from vipnas_cli.metrics.oks import iou

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


class PeopleSource(Protocol):
    """Anything that knows where people are."""

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes (N, 4) xyxy in frame pixels and scores (N,) of the people in an RGB frame (H, W, 3)."""
        ...


class CellDetector(Protocol):
    """A detector network that scores every cell of a picture."""

    side: int
    threshold: float

    def detect(self, picture: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (h, w) and boxes (h, w, 4) xyxy of a picture whose sides are multiples of 32."""
        ...


class DetectorSource:
    """The own detector, on a picture letterboxed to `side` pixels; by default the side that it was trained on."""

    def __init__(
        self, detector: CellDetector, threshold: float | None = None, overlap: float = 0.5, side: int | None = None
    ) -> None:
        self.detector = detector
        self.side = detector.side if side is None else side
        self.threshold = detector.threshold if threshold is None else threshold
        self.overlap = overlap

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes of all persons whose score passes the threshold, best first; see PeopleSource."""
        picture, scale = letterbox(image, self.side)
        scores, cells = self.detector.detect(picture)
        passing = scores >= self.threshold
        found, found_scores = cells[passing], scores[passing]
        keep = suppress(found, found_scores, self.overlap)
        # Detector boxes measure from the picture's edge, half a pixel outside the first pixel's centre.
        boxes = np.clip(found[keep] / scale, 0, [image.shape[1], image.shape[0]] * 2)
        return boxes.astype(np.float32), found_scores[keep]


class GivenBoxesSource:
    """Boxes that another program found, by frame index; frames without an entry have nobody."""

    def __init__(self, boxes: BoxesByFrame, first_frame: int = 0) -> None:
        """`first_frame` is the index in the file of the first frame that is delivered."""
        self._boxes = boxes
        self._first_frame = first_frame

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """The boxes of that frame, best first; see PeopleSource."""
        rows = self._boxes.get(frame_index + self._first_frame, np.zeros((0, 5), np.float32))
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        return rows[:, :4], rows[:, 4]


class WholeFrameSource:
    """One person who fills the frame."""

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """A single box around the whole frame; see PeopleSource."""
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)


def letterbox(image: Image, side: int) -> tuple[Image, float]:
    """The image with a longer edge of `side` pixels, padded with grey to multiples of 32, and the scale."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    bottom, right = -size[1] % 32, -size[0] % 32
    padded = cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return np.asarray(padded, np.uint8), scale


def suppress(boxes: Boxes, scores: NDArray[np.float32], overlap: float) -> NDArray[np.int64]:
    """Indices of the boxes that no better box overlaps by more than `overlap` IoU, best first."""
    order = np.argsort(-scores, kind="stable")
    shared = iou(boxes[order], boxes[order])
    kept: list[int] = []
    for index in range(len(order)):
        if not kept or shared[index, kept].max() <= overlap:
            kept.append(index)
    return order[np.asarray(kept, np.int64)]
