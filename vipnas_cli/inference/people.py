"""Finding people on key frames: detect, nms, verify, dedupe; or boxes that are given.

Shapes: N boxes, K keypoints, H, W picture pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vipnas_cli.arrays import Boxes, Flags, Image, Numbers, Scores
from vipnas_cli.data.files.boxes import BoxesByFrame
from vipnas_cli.inference.crops import FramePoses
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.pose import CropTransform, Skeleton, mirrored_places
from vipnas_cli.pose.boxes import VOTING_SHARE, covered_shares, decode_deltas, iou, nms, vote_boxes
from vipnas_cli.pose.letterbox import Letterbox
from vipnas_cli.pose.oks import oks

# Boxes that a verifier chooses from may overlap more than those of two people do: fewer of them cost recall.
CANDIDATE_OVERLAP = 0.65
# Below this a detector sees people everywhere.
LEAST_CANDIDATE = 0.05
# Of a crowd, boxes that a verifier would have to be surer of than this to be believed are nobody's: on held-back
# pictures nobody is lost with them, and they are a quarter of all.
SUREST = 0.75
MOST_CANDIDATES = 60
# Detector and verifier err independently at the edges of a person: in between the boxes fit best, nearer to the
# verifier's.
PLACE_TRUST = 0.75
# A box is seen straight and, where that can still matter, in a mirror: what the two views say of it hardly ever differs
# by more than this.
VIEWS, VIEW_DIFFERENCE = 2, 0.2
_SAME_PLACE = np.array([0, 0, 1, 1], np.float32)
# With more boxes than this a verifier sees only those that matter, as each of a few is cheap.
CROWD = 16
# The confidence of detector and verifier together from which a box shows somebody so surely that its duplicates need no
# look of their own. At what is believed just so, the best of several boxes would be missed (half a point of average
# precision on held-back pictures).
SURE = 0.6
# Boxes of which less than this share lies in another one's cannot be parts of the same person.
LEAST_INSIDE = 0.5
# Keypoints below this score may be anywhere.
LEAST_CONFIDENT = 0.2


class PeopleSource(Protocol):
    """Anything that knows where people are."""

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        """Boxes (N, 4) xyxy in frame pixels and scores (N,) of the people in an RGB frame (H, W, 3)."""
        ...


class Verifier(Protocol):
    """A network that looks at crops of boxes and says how likely each means a person, and where exactly that one is."""

    height: int
    width: int
    threshold: float

    def verify(self, crops: Image) -> tuple[Scores, Boxes]:
        """Scores (N,) in 0–1 and places (N, 4) of crops (N, H, W, 3), each of a box and its surroundings.

        Places are xyxy where 0 and 1 are the edges of the box; for the crops see CropTransform.stretched.
        """
        ...


class CellDetector(Protocol):
    """A detector network that scores every cell of a picture, and what verifies its boxes, if anything does."""

    @property
    def letterbox(self) -> Letterbox:
        """How a frame becomes the picture that it sees."""
        ...

    @property
    def threshold(self) -> float:
        """The score from which it is believed when nothing verifies its boxes."""
        ...

    @property
    def verifier(self) -> Verifier | None:
        """What verifies the boxes."""
        ...

    def detect(self, picture: Image) -> tuple[Scores, Scores]:
        """Scores (h, w) and boxes (h, w, 4) xyxy in pixels from the edge of a picture that its letterbox makes."""
        ...


class DetectorSource:
    """A detector on pictures whose longer side has `side` pixels; by default those that it was trained on.

    A verifier puts boxes where it finds the person, and the score is the geometric mean of the detector's and its own.
    It sees people who are followed, and whom the detector alone would believe, only to place their boxes, in a crowd
    not even for that, and there no duplicates of someone who is surely there. `verified` counts the boxes that it has
    seen, which are at most `most_candidates` in a picture, `crops_verified` how many crops it took.
    """

    def __init__(
        self, detector: CellDetector, threshold: float | None = None, overlap: float = 0.5, side: int | None = None
    ) -> None:
        self.detector = detector
        self.letterbox = detector.letterbox if side is None else detector.letterbox.at(side)
        self.verifier = detector.verifier
        own = detector.threshold if self.verifier is None else self.verifier.threshold
        self.threshold = own if threshold is None else threshold
        self.overlap = overlap
        self.verified = self.crops_verified = 0
        self.most_candidates = MOST_CANDIDATES

    def boxes(self, image: Image, frame_index: int, followed: Boxes | None = None) -> tuple[Boxes, Scores]:
        """Boxes of all persons whose score passes the threshold, best first; see PeopleSource.

        followed: boxes (P, 4) of people who are known; of those found on one of them the verifier sees the best alone.
        """
        boxes, scores = self._detected(image)
        if self.verifier is None or not len(boxes):
            return boxes, scores
        boxes, scores = boxes[: self.most_candidates], scores[: self.most_candidates]
        crowded, known = len(boxes) > CROWD, np.zeros(len(boxes), bool)
        if crowded:
            hopeful = scores >= self.threshold**2 / SUREST
            boxes, scores, known = boxes[hopeful], scores[hopeful], known[hopeful]
        if followed is not None and len(followed) and len(boxes):
            needed = ~_duplicates(boxes, followed, self.overlap)
            boxes, scores = boxes[needed], scores[needed]
            believed = scores >= max(self.detector.threshold, self.threshold)
            known = believed & (iou(boxes, followed).max(1) > self.overlap)
        return self._verified(self.verifier, image, (boxes, scores), known, crowded)

    def _detected(self, image: Image) -> tuple[Boxes, Scores]:
        """Detect and nms: the boxes of the detector, edges voted on, with its scores, best first."""
        fitted = self.letterbox.of(image)
        scores, cells = self.detector.detect(fitted.picture)
        # A geometric mean reaches the threshold only if both confidences reach its square.
        least, overlap = self.threshold, self.overlap
        if self.verifier is not None:
            least, overlap = max(self.threshold**2, LEAST_CANDIDATE), CANDIDATE_OVERLAP
        voting = scores >= VOTING_SHARE * least
        found, found_scores = cells[voting], scores[voting]
        keep = nms(found, found_scores, overlap)
        keep = keep[found_scores[keep] >= least]
        # Detector boxes measure from the picture's edge, half a pixel outside the first pixel's centre.
        return fitted.to_frame(vote_boxes(found, found_scores, keep)), found_scores[keep]

    def _verified(
        self, verifier: Verifier, image: Image, detected: tuple[Boxes, Scores], known: Flags, crowded: bool
    ) -> tuple[Boxes, Scores]:
        """Verify and nms: where the verifier finds the people of the boxes, with the scores of both, best first.

        Those who are known (N,) are believed as the detector does, and in a crowd stay where it sees them.
        """
        boxes, scores = detected
        # To place the boxes of a crowd's known people would take a third of its crops, and their poses get no steadier.
        shared, asked = iou(boxes, boxes) > self.overlap, known & crowded
        found, together = boxes.copy(), scores.copy()
        every = np.arange(len(boxes))
        best = nms(boxes, scores + known, self.overlap) if crowded else every
        # The best boxes first, then their duplicates, as far as the best ones may be wrong.
        for rows in (best, np.setdiff1d(every, best)):
            sure = asked & (together >= np.where(known, self.threshold, SURE))
            rows = rows[~asked[rows] & (known[rows] | ~shared[np.ix_(rows, sure)].any(1))]
            found[rows], together[rows] = self._seen_closely(verifier, image, boxes[rows], scores[rows], known[rows])
            asked[rows] = True
        found, together = found[asked], together[asked]
        keep = nms(found, together, self.overlap)
        keep = keep[together[keep] >= self.threshold]
        return found[keep], together[keep]

    def _seen_closely(
        self, verifier: Verifier, image: Image, boxes: Boxes, scores: Scores, known: Flags
    ) -> tuple[Boxes, Scores]:
        """Boxes where the verifier puts them, with the scores of both or, where known, what is higher."""
        # What the verifier has to say at least of a box that is to be believed.
        needed = np.asarray(self.threshold**2 / np.maximum(scores, 1e-6), np.float32)
        own_scores, placed, crops = verify_boxes(verifier, image, boxes, needed, known)
        self.verified += len(boxes)
        self.crops_verified += crops
        together = np.sqrt(scores * own_scores)
        return placed, np.where(known, np.maximum(scores, together), together)


@dataclass
class DistinctPeople:
    """Dedupe: people of a detector lose confidence as far as somebody more confident has the same pose.

    Only boxes of which much lies in another's are compared, counted in `compared`: one crop of the key network each,
    which `find` shares with whoever wants these poses afterwards.
    """

    source: DetectorSource
    estimator: PoseEstimator
    compared: int = 0

    @property
    def verified(self) -> int:
        """Boxes that a verifier has seen."""
        return self.source.verified

    @property
    def crops_verified(self) -> int:
        """Crops that it took to verify them."""
        return self.source.crops_verified

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        """Boxes of those who are still believed, best first; see PeopleSource."""
        return self.find(FramePoses(self.estimator, image), frame_index)

    def find(self, poses: FramePoses, frame_index: int, followed: Boxes | None = None) -> tuple[Boxes, Scores]:
        """The same with the poses of the frame; those that are compared are known to it afterwards.

        followed: see DetectorSource.
        """
        boxes, scores = self.source.boxes(poses.image, frame_index, followed)
        inside = _inside_surer(boxes, scores)
        asked = np.flatnonzero(inside.any(1) | inside.any(0))
        if not len(asked):
            return boxes, scores
        self.compared += len(asked)
        seen = poses.at(boxes[asked])
        shared = shared_bodies(boxes[asked], seen.points_frame, seen.scores, self.estimator.skeleton)
        scores = scores.copy()
        scores[asked] *= np.sqrt(1 - (shared * inside[np.ix_(asked, asked)]).max(1))
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self.source.threshold]
        return boxes[order], scores[order]


@dataclass(frozen=True)
class Newcomers:
    """Prove: the people of a detector with the evidence that a key frame asks of somebody new."""

    people: DistinctPeople

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        """Boxes with the evidence for each, best first; see PeopleSource."""
        poses = FramePoses(self.people.estimator, image)
        boxes, confidence = self.people.find(poses, frame_index)
        evidence = evidence_of(confidence, poses.at(boxes).scores.mean(1))
        order = np.argsort(-evidence, kind="stable")
        return boxes[order], evidence[order]


class GivenBoxesSource:
    """Boxes that another program found, by frame index; frames without an entry have nobody."""

    def __init__(self, boxes: BoxesByFrame, first_frame: int = 0) -> None:
        """`first_frame` is the index in the file of the first frame that is delivered."""
        self._boxes = boxes
        self._first_frame = first_frame
        # How far apart the frames are that the other program looked at.
        self._step = int(np.median(np.diff(sorted(boxes)))) if len(boxes) > 1 else 1

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        """The boxes of that frame, best first; see PeopleSource."""
        return self.since(frame_index - 1, frame_index)

    def since(self, asked: int, frame_index: int) -> tuple[Boxes, Scores]:
        """The same, or where the other program did not look at that frame the newest of those after frame `asked`."""
        last, first = frame_index + self._first_frame, asked + self._first_frame
        newest_first = range(last, max(first, last - self._step), -1)
        rows = next((self._boxes[at] for at in newest_first if at in self._boxes), np.zeros((0, 5), np.float32))
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        return rows[:, :4], rows[:, 4]


class WholeFrameSource:
    """One person who fills the frame."""

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        """A single box around the whole frame; see PeopleSource."""
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)


def evidence_of(confidence: Scores, pose_scores: Scores) -> Scores:
    """How surely somebody new is in each box (N,): what is believed of it times the root of the mean keypoint score.

    The root, as a person who is cut off or half hidden has few sure keypoints.
    """
    return np.asarray(confidence * np.sqrt(np.maximum(pose_scores, 0)), np.float32)


def verify_boxes(
    verifier: Verifier, image: Image, boxes: Boxes, needed: Scores | None = None, known: Flags | None = None
) -> tuple[Scores, Boxes, int]:
    """Confidences (N,) that boxes (N, 4) of an RGB picture hold people, the boxes moved onto those people, and how many
    crops it took.

    Every crop is seen straight and mirrored, and the two answers are averaged; a box that is then too far below the
    confidence `needed` (N,) is seen straight only, and stays where it is. Those that surely hold somebody, `known`
    (N,), are seen straight only, too.
    """
    if not len(boxes):
        return np.zeros(0, np.float32), boxes, 0
    size = verifier.height, verifier.width
    crops = np.stack([CropTransform.stretched(box, *size).warp(image) for box in boxes])
    (scores, places), share = verifier.verify(crops), np.float32(1 / VIEWS)
    known = np.zeros(len(boxes), bool) if known is None else known
    hopeful = np.ones(len(boxes), bool) if needed is None else scores + share * np.float32(VIEW_DIFFERENCE) >= needed
    twice, moves = hopeful & ~known, hopeful | known
    scores, places, moved = scores.copy(), places.copy(), boxes.copy()
    if twice.any():
        mirrored = verifier.verify(np.ascontiguousarray(crops[twice][:, :, ::-1]))
        scores[twice] = share * (scores[twice] + mirrored[0])
        places[twice] = share * (places[twice] + mirrored_places(mirrored[1]))
    trusted = _SAME_PLACE + np.float32(PLACE_TRUST) * (places[moves] - _SAME_PLACE)
    moved[moves] = decode_deltas(boxes[moves], trusted, image.shape[1], image.shape[0])
    return scores, moved, len(boxes) + int(twice.sum())


def shared_bodies(boxes: Numbers, points: Numbers, scores: Numbers, skeleton: Skeleton) -> Scores:
    """How much (N, N) the pose in each box (N, 4) is that in another: OKS over its own sure keypoints.

    points (N, K, 2) and their scores (N, K); left and right may be mixed up. The area is the mean of both boxes'.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    pairs, sure = np.add.outer(areas, areas) / 2, scores >= LEAST_CONFIDENT
    mirrored = points[:, list(skeleton.flip_order)]
    alike = [oks(points, other, pairs, skeleton.sigmas, sure) for other in (points, mirrored)]
    return np.maximum(*alike).astype(np.float32)


def _inside_surer(boxes: Numbers, scores: Numbers) -> Flags:
    """Whether (N, N) each box lies to a good part in another one that is surer."""
    surer: Flags = scores[None] > scores[:, None]
    return surer & (covered_shares(boxes, boxes) >= LEAST_INSIDE)


def _duplicates(boxes: Boxes, followed: Boxes, overlap: float) -> Flags:
    """Which boxes (N, 4), best first, lie on a followed one (P, 4) that a better one lies on, too, and on that."""
    shared = iou(boxes, followed) > overlap
    best = np.unique(shared.argmax(0)[shared.any(0)])
    found: Flags = shared.any(1) & (iou(boxes, boxes[best]).max(1, initial=0) > overlap)
    found[best] = False
    return found
