"""Where the boxes of a key frame come from: the own detector, a file, or the whole frame.

Shapes: N boxes, H, W picture pixels.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.boxes import BoxesByFrame
from vipnas_cli.inference.second_look import BoxVerifier, looked_at_again
from vipnas_cli.pose.oks import iou

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


class PeopleSource(Protocol):
    """Anything that knows where people are."""

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes (N, 4) xyxy in frame pixels and scores (N,) of the people in an RGB frame (H, W, 3)."""
        ...


# A cell has a vote on the edges of a person if its score is at least this share of the best one's ...
LEAST_VOTE = 0.7
# ... and its box overlaps the best one's so far.
SAME_BOX = 0.7


# Boxes that a verifier chooses from may overlap more than those of two people do.
CANDIDATE_OVERLAP = 0.65
# Below this a detector sees people everywhere.
LEAST_CANDIDATE = 0.05
MOST_CANDIDATES = 60


class CellDetector(Protocol):
    """A detector network that scores every cell of a picture, and what verifies its boxes, if anything does."""

    @property
    def side(self) -> int:
        """The longer side, in pixels, of the pictures that it learned on."""
        ...

    @property
    def threshold(self) -> float:
        """The score from which it is believed when nothing verifies its boxes."""
        ...

    @property
    def verifier(self) -> BoxVerifier | None:
        """What verifies the boxes."""
        ...

    def detect(self, picture: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (h, w) and boxes (h, w, 4) xyxy of a picture whose sides are multiples of 32."""
        ...


class DetectorSource:
    """The own detector, on a picture letterboxed to `side` pixels; by default the side that it was trained on.

    A verifier puts boxes where it finds the person, and the score is the geometric mean of the detector's and its own.
    `verified` counts the boxes that a verifier has seen.
    """

    def __init__(
        self, detector: CellDetector, threshold: float | None = None, overlap: float = 0.5, side: int | None = None
    ) -> None:
        self.detector = detector
        self.side = detector.side if side is None else side
        self.verifier = detector.verifier
        own = detector.threshold if self.verifier is None else self.verifier.threshold
        self.threshold = own if threshold is None else threshold
        self.overlap = overlap
        self.verified = 0

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes of all persons whose score passes the threshold, best first; see PeopleSource."""
        picture, scale = letterbox(image, self.side)
        scores, cells = self.detector.detect(picture)
        # A geometric mean reaches the threshold only if each of both scores reaches its square.
        least, overlap = self.threshold, self.overlap
        if self.verifier is not None:
            least, overlap = max(self.threshold**2, LEAST_CANDIDATE), CANDIDATE_OVERLAP
        voting = scores >= LEAST_VOTE * least
        found, found_scores = cells[voting], scores[voting]
        keep = suppress(found, found_scores, overlap)
        keep = keep[found_scores[keep] >= least]
        # Detector boxes measure from the picture's edge, half a pixel outside the first pixel's centre.
        edges = np.clip(voted(found, found_scores, keep) / scale, 0, [image.shape[1], image.shape[0]] * 2)
        boxes, values = edges.astype(np.float32), found_scores[keep]
        return (boxes, values) if self.verifier is None else self._verified(self.verifier, image, boxes, values)

    def _verified(
        self, verifier: BoxVerifier, image: Image, boxes: Boxes, scores: NDArray[np.float32]
    ) -> tuple[Boxes, NDArray[np.float32]]:
        """Where the verifier finds the people whom the boxes mean, with the scores of both, best first."""
        boxes, scores = boxes[:MOST_CANDIDATES], scores[:MOST_CANDIDATES]
        self.verified += len(boxes)
        own_scores, boxes = looked_at_again(verifier, image, boxes)
        together = np.sqrt(scores * own_scores)
        keep = suppress(boxes, together, self.overlap)
        keep = keep[together[keep] >= self.threshold]
        return boxes[keep], together[keep]


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


def voted(boxes: Boxes, scores: NDArray[np.float32], kept: NDArray[np.int64]) -> Boxes:
    """The kept boxes (M, 4), each the mean by score of itself and of those (N, 4) that tell almost the same as surely.

    Neighbouring cells err independently at the edges of a person, so their mean fits better than the best scored one.
    """
    shared = iou(boxes[kept], boxes)
    agree = (shared >= SAME_BOX) & (scores >= LEAST_VOTE * scores[kept, None])
    agree[np.arange(len(kept)), kept] = True
    weights = agree * np.maximum(scores, 1e-6)
    return np.asarray(weights @ boxes / weights.sum(1, keepdims=True), np.float32)
