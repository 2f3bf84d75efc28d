"""A pipeline of a bundle with onnxruntime, numpy and cv2 only: key frames and their memory, re-alignment, followers.

    python examples/onnx_pipeline.py BUNDLE PIPELINE VIDEO BOXES.csv -o poses.csv

BUNDLE is a folder that `vipnas export` wrote (a file ending in .vipnas is one, zipped), PIPELINE a name in its
manifest. BOXES.csv has a row per person box, `frame,x,y,width,height`, and needs those of the key frames, the first of
each cycle. One person per frame keeps this short; networks take any number at once, along their first axis `people`.

On the same pixels the poses agree with those of `vipnas run VIDEO --boxes BOXES.csv` to a tenth of a pixel, except
where two cells of a heatmap are equally high, and as far as `vipnas run` does nothing beyond this: finding people, ids,
key frames that come early, the vote on left and right, and joints put back on their paths.

Everything is in pixels; (0, 0) is the centre of the first pixel.
Shapes: K keypoints, H, W crop pixels, h = H/4, w = W/4 heatmap cells.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

STRIDE = 4  # crop pixels per heatmap cell
PADDING = 1.25  # how much larger the crop is than the box, where the manifest does not say
TRUSTED = 0.3  # keypoints below this score do not move the box
FEWEST = 4  # with fewer trusted keypoints the box stays
MEMORY, NEAR = 0.8, 0.1  # how far a key frame believes the frame before, and what is too far from it to be told by it
MEMORY_WAY, MOST_MEMORY = 0.064, 0.8  # the share of the frame before in a follower's heatmaps falls with the way,
MEMORY_S, BLIND_MEMORY = 0.08, 0.5  # and where flow tells none, with time
VIEW_ROWS = 128  # about so high are the grey pictures in which keypoints are followed
FLOW = {"winSize": (9, 9), "maxLevel": 2, "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)}
ROUND_TRIP, LEAST_FLOW = 1.5, 0.2  # flow is trusted if it leads back so near, and of keypoints with such a score,
MOST_ALONE = 16  # and if it leaves that of the others behind by no more pixels of the view

KEYPOINTS = (  # those of COCO, the skeleton coco17 of the manifest
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)


@dataclass
class Crop:
    """The crop (height, width) around a box: crop = scale * frame + offset, the same scale in x and y."""

    scale: float
    offset: np.ndarray
    height: int
    width: int

    @staticmethod
    def around(box: np.ndarray, height: int, width: int, padding: float) -> Crop:
        """The crop around a box x0, y0, x1, y1: grown to the shape of the crop, then by the padding."""
        box = box.astype(np.float64)
        scale = min(height / (box[3] - box[1]), width / (box[2] - box[0])) / padding
        middle = (box[:2] + box[2:] - 1) / 2  # edges of a box lie half a pixel outside the centres
        return Crop(scale, (np.array([width, height]) - 1) / 2 - scale * middle, height, width)

    def pixels(self, frame: np.ndarray) -> np.ndarray:
        """The RGB crop (H, W, 3) of an RGB frame, black outside; a large person is averaged down first."""
        scale, offset = self.scale, self.offset
        if scale < 0.5:
            frame, scale, offset = self._shrunk(frame)
        matrix = np.column_stack([np.diag(scale * np.ones(2)), offset])
        return cv2.warpAffine(frame, matrix, (self.width, self.height), flags=cv2.INTER_LINEAR)

    def _shrunk(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The part of the frame that the crop shows, smaller by a whole factor, with its scale and offset."""
        factor, size = int(1 / self.scale), np.array(frame.shape[1::-1])
        edges = np.array([[-1, -1], [self.width, self.height]])
        low, high = (edges - self.offset) / self.scale
        low, high = np.clip(np.floor(low), 0, size).astype(int), np.clip(np.ceil(high) + 1, 0, size).astype(int)
        number = -(-(high - low) // factor) * factor  # a multiple of the factor, where the frame is large enough
        fits = number <= size
        low = np.where(fits, np.minimum(low, size - number), low)
        high = np.where(fits, low + number, high)
        part = frame[low[1] : high[1], low[0] : high[0]]
        small = np.maximum((high - low) // factor, 1)
        ratio = (high - low) / small
        offset = self.scale * (low + (ratio - 1) / 2) + self.offset
        return cv2.resize(part, small.tolist(), interpolation=cv2.INTER_AREA), self.scale * ratio, offset


@dataclass
class View:
    """A crop in grey (H, W), no larger than needed to follow keypoints."""

    crop: Crop
    grey: np.ndarray

    @staticmethod
    def of(crop: Crop, pixels: np.ndarray) -> View:
        """The view that an RGB crop (H, W, 3) gives."""
        grey, factor = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), max(round(crop.height / VIEW_ROWS), 1)
        if factor > 1:
            size = crop.height // factor, crop.width // factor
            crop = Crop(crop.scale / factor, (crop.offset + 0.5) / factor - 0.5, *size)
            grey = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
        return View(crop, grey)


def flow(before: View, now: View, points: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far keypoints at points (K, 2) of the frame before have moved, by optical flow, and where it is trusted (K,).

    Elsewhere they move as the median of the others.
    """
    scale = now.crop.scale / before.crop.scale
    matrix = np.column_stack([np.diag(scale * np.ones(2)), now.crop.offset - scale * before.crop.offset])
    grey = cv2.warpAffine(before.grey, matrix, now.grey.shape[::-1])
    start = (now.crop.scale * points + now.crop.offset).astype(np.float32)[:, None]
    ahead, seen, _ = cv2.calcOpticalFlowPyrLK(grey, now.grey, start, None, **FLOW)
    back, met, _ = cv2.calcOpticalFlowPyrLK(now.grey, grey, ahead, None, **FLOW)
    trusted = (seen == 1)[:, 0] & (met == 1)[:, 0] & (np.linalg.norm(back - start, axis=2)[:, 0] < ROUND_TRIP)
    trusted &= scores >= LEAST_FLOW
    moves = (ahead - start)[:, 0].astype(np.float64)
    body = np.median(moves[trusted], axis=0) if trusted.sum() >= FEWEST else np.zeros(2)
    trusted &= np.linalg.norm(moves - body, axis=1) <= MOST_ALONE
    return np.where(trusted[:, None], moves, body) / now.crop.scale, trusted


def realigned(heatmaps: np.ndarray, before: Crop, now: Crop, moves: np.ndarray) -> np.ndarray:
    """Heatmaps (K, h, w) of the crop `before` as the crop `now` of the next frame sees them (K, h', w').

    Each keypoint has moved by (K, 2) pixels of the frame.
    """
    weights = []
    for axis, (old, new) in enumerate(((before.width, now.width), (before.height, now.height))):
        cells = np.arange(new // STRIDE)
        place = ((cells + 0.5) * STRIDE - 0.5 - now.offset[axis]) / now.scale - moves[:, axis, None]  # in the frame
        cell = (before.scale * place + before.offset[axis] + 0.5) / STRIDE - 0.5  # in the heatmap before
        weights.append(np.maximum(1 - np.abs(cell[..., None] - np.arange(old // STRIDE)), 0))
    columns, rows = weights
    return (rows @ heatmaps @ columns.swapaxes(1, 2)).astype(np.float32)


def decoded(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (K, 2) in crop pixels and scores (K,) of heatmaps (K, h, w).

    A point is the centre of a round Gaussian fitted to the 5 x 5 cells around the highest cell; its score is the mass
    within two sigma of that cell as a share of what a sure keypoint has there, or the peak, whichever is higher.
    """
    keypoints, height, width = heatmaps.shape
    sigma = height / 32
    reach = round(2 * sigma)
    wide = np.pad(heatmaps.astype(np.float64), ((0, 0), (reach, reach), (reach, reach)))
    profile = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).sum() ** 2
    points, scores = np.zeros((keypoints, 2)), np.zeros(keypoints)
    for k in range(keypoints):
        row, column = np.unravel_index(heatmaps[k].argmax(), (height, width))
        around = wide[k, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        middle = around[reach - 2 : reach + 3, reach - 2 : reach + 3]
        points[k] = (np.array([column, row]) + fitted(middle) + 0.5) * STRIDE - 0.5
        scores[k] = min(max(heatmaps[k, row, column], around.sum() / profile, 0), 1)
    return points.astype(np.float32), scores.astype(np.float32)


def fitted(cells: np.ndarray) -> np.ndarray:
    """Where x, y a Gaussian c + bx x + by y - k (x^2 + y^2), fitted to the logarithm of 5 x 5 cells, has its peak."""
    y, x = np.mgrid[-2:3, -2:3].reshape(2, 25)
    share = np.maximum(cells.reshape(25), 0) / max(cells.max(), 1e-12)
    terms = np.stack([np.ones(25), x, y, -(x**2 + y**2)], axis=1)
    weighted = terms * share[:, None] ** 2
    _, across, down, curve = np.linalg.solve(
        weighted.T @ terms + 1e-9 * np.eye(4), weighted.T @ np.log(np.maximum(share, 1e-12))
    )
    return np.clip(np.array([across, down]) / (2 * curve), -1, 1) if curve > 1e-3 else np.zeros(2)


@dataclass
class Pose:
    """A pose: points (K, 2) in the frame, scores (K,), the box looked into, its crop, view and heatmaps."""

    points: np.ndarray
    scores: np.ndarray
    box: np.ndarray
    crop: Crop
    view: View
    heatmaps: np.ndarray


def to_frame(points: np.ndarray, crop: Crop) -> np.ndarray:
    """Pixels (K, 2) of a crop in the frame."""
    return ((points - crop.offset) / crop.scale).astype(np.float32)


def remembered(heatmaps: np.ndarray, previous: np.ndarray, crop: Crop) -> np.ndarray:
    """Heatmaps (K, h, w) of a key frame, weighted by where each keypoint was in `previous`.

    A keypoint that stands out far from there stays as it is.
    """
    blurred = cv2.GaussianBlur(previous.transpose(1, 2, 0).copy(), (0, 0), crop.height / STRIDE / 32).transpose(2, 0, 1)
    near = blurred / np.maximum(blurred.max((1, 2), keepdims=True), 1e-6)
    weights = 1 - MEMORY * np.clip(previous.max((1, 2), keepdims=True), 0, 1) * (1 - near)
    found = heatmaps.copy()
    for k, weighted in enumerate(heatmaps * weights):
        peak = np.unravel_index(weighted.argmax(), weighted.shape)
        if near[k][peak] >= NEAR:
            found[k] = weighted / weights[k][peak]
    return found


def carried(key: Pose, now: Pose) -> np.ndarray:
    """The box for the next frame: that of the key frame, moved and scaled as the keypoints were since then."""
    trusted = [np.where(pose.scores >= TRUSTED, pose.scores, 0) for pose in (key, now)]
    weights = np.minimum(*trusted)[:, None]
    if np.count_nonzero(weights) < FEWEST:
        return now.box
    before, after = ((weights * pose.points).sum(0) / weights.sum() for pose in (key, now))
    spreads = [np.sqrt((weights * (p.points - m) ** 2).sum()) for p, m in ((key, before), (now, after))]
    low, high = after + np.clip(spreads[1] / max(spreads[0], 1e-6), 0.6, 1.6) * (key.box.reshape(2, 2) - before)
    seen = now.points[trusted[1] > 0]
    margin = 0.04 * (high - low).max()  # the box grows to hold all trusted keypoints
    box = np.concatenate([np.minimum(low, seen.min(0) - margin), np.maximum(high, seen.max(0) + margin)])
    return box.astype(np.float32)


class Cycle:
    """The networks of a pipeline, one per frame of its cycle; the first one needs no heatmaps. `rate`: frames/s."""

    def __init__(self, bundle: Path, pipeline: str, rate: float) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        cycles = {each["name"]: each["cycle"] for each in manifest["pipelines"]}
        if pipeline not in cycles:
            sys.exit(f"{bundle} has no pipeline {pipeline}, but {', '.join(cycles)}")
        names = cycles[pipeline]
        files = {name: bundle / manifest["networks"][name]["file"] for name in names}
        sessions = {
            name: ort.InferenceSession(file, providers=["CPUExecutionProvider"]) for name, file in files.items()
        }
        self.sessions = [sessions[name] for name in names]
        plans = [manifest["networks"][name]["plan"] for name in names]
        self.paddings = [plan["arch"].get("padding") or PADDING for plan in plans]
        self.key: Pose | None = None
        self.last: Pose | None = None
        self.position = 0
        self.blind = BLIND_MEMORY * np.exp(-1 / (rate * MEMORY_S))

    def pose(self, frame: np.ndarray, box: np.ndarray | None) -> Pose:
        """The pose in the next RGB frame; `box` x0, y0, x1, y1 is needed on the first frame of a cycle."""
        session, padding, position = self.sessions[self.position], self.paddings[self.position], self.position
        self.position = (position + 1) % len(self.sessions)
        box = box if position == 0 else carried(self.key, self.last)
        inputs = {each.name: each.shape for each in session.get_inputs()}
        crop = Crop.around(box, *inputs["images"][1:3], padding)
        pixels = crop.pixels(frame)
        given, view, last = {"images": pixels[None]}, View.of(crop, pixels), self.last
        if last is not None:
            moves, seen = flow(last.view, view, last.points, last.scores)
            previous = realigned(last.heatmaps, last.crop, crop, moves)
        if "previous_heatmaps" in inputs:
            given["previous_heatmaps"] = previous[None]
        heatmaps = session.run(["heatmaps"], given)[0][0]
        points, scores = decoded(heatmaps)
        if last is not None:
            ways = np.linalg.norm(moves, axis=1) * crop.scale / crop.height
            shares = np.where(seen, MOST_MEMORY * np.exp(-ways / MEMORY_WAY), self.blind)[:, None, None]
            mixed = (1 - shares) * heatmaps + shares * previous
            heatmaps = mixed if position else remembered(heatmaps, previous, crop)
            points, _ = decoded(heatmaps)
        self.last = Pose(to_frame(points, crop), scores, box, crop, view, heatmaps)
        self.key = self.last if position == 0 else self.key
        return self.last


def boxes_of(path: Path) -> dict[int, np.ndarray]:
    """The first box of each frame: x0, y0, x1, y1."""
    found: dict[int, np.ndarray] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
            found.setdefault(int(row["frame"]), np.array([x, y, x + width, y + height]))
    return found


def main() -> None:
    """Writes a table of poses: frame, keypoint, x, y, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("pipeline")
    parser.add_argument("video")
    parser.add_argument("boxes", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    boxes, video = boxes_of(options.boxes), cv2.VideoCapture(options.video)
    if not video.isOpened():
        sys.exit(f"{options.video} cannot be opened as a video")
    cycle = Cycle(options.bundle, options.pipeline, video.get(cv2.CAP_PROP_FPS))
    with options.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["frame", "keypoint", "x", "y", "score"])
        number = 0
        while (read := video.read())[0]:
            if cycle.position == 0 and number not in boxes:
                sys.exit(f"{options.boxes} has no box in frame {number}, a key frame: {options.out} ends before it")
            pose = cycle.pose(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), boxes.get(number))
            for name, (x, y), score in zip(KEYPOINTS, pose.points, pose.scores, strict=True):
                table.writerow([number, name, f"{x:.2f}", f"{y:.2f}", f"{score:.3f}"])
            number += 1


if __name__ == "__main__":
    main()
