"""Frames per second of vipnas beside the plain loop that one would write around two ONNX files.

    vipnas import tinypose.onnx --name tinypose --detector rtmdet.onnx -o mine.vipnas
    python examples/peer_loop.py CLIP... --detector rtmdet.onnx --pose tinypose.onnx \
        [--weights mine.vipnas] [--pipeline tinypose-cycle4] [--budget 0.2GFLOPs] \
        [--repeats 3] [--threads 1] [--own-threads 0]

The plain loop decodes with OpenCV, looks for people on every frame, or on every tenth with boxes around the last pose
in between, runs the pose network on each person, and writes a CSV. With `--weights mine.vipnas` vipnas runs the same
two networks; without, its own. Neither network comes with this project. They are

* a detector: 1×3×S×S float32, BGR, letterboxed to the top left with 114, mean and standard deviation of RTMDet, to
  boxes (1, N, 5) of x0, y0, x1, y1, score, overlaps already removed;
* a pose network: P×3×H×W float32, RGB, mean and standard deviation of ImageNet, to heatmaps (P, K, H/4, W/4).

On few cores the plain loop is fastest with one thread for each network, which is its default here; vipnas takes the
threads that `vipnas run` takes, and computes the people of a frame at the same time.

All loops run in this process, in turns; loading networks and a first round are not counted. The time on the processor
is given beside that of the clock, because the former is right also on a machine that others use. Ratios are to the
plain loop with the detector on every frame, and to the one with it on every tenth.
"""

from __future__ import annotations

import argparse
import csv
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vipnas_cli import __version__
from vipnas_cli.bundle.pipelines import Bundle, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle, with_detector
from vipnas_cli.errors import BudgetError
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.pipeline import Outputs, process
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions, open_tracker
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.media.reader import open_video
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.table import CsvSink
from vipnas_cli.spec import Budget

BGR_MEAN, BGR_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
RGB_MEAN, RGB_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# For detectors that take any size.
SIDE = 320
PERSON_SCORE, POINT_SCORE, MOST_PEOPLE = 0.4, 0.2, 20
HEAD = "frames/s     low    high  ratio  to 10th  cpu ms  ratio  to 10th  crops"
ROW = (
    "{fps:8} {fps_low:7} {fps_high:7} {fps_ratio:6} {fps_ratio_10th:8} {cpu_ms_per_frame:7} {cpu_ratio:6} "
    "{cpu_ratio_10th:8} {crops_per_frame:6}  {loop}"
)
Array = NDArray[np.float32]
Loop = Callable[[Path, Path], tuple[int, int]]


@dataclass(frozen=True)
class PlainLoop:
    """The plain loop; `every` 10 looks for people on every tenth frame only."""

    detector: ort.InferenceSession
    pose: ort.InferenceSession
    every: int

    def __call__(self, clip: Path, table: Path) -> tuple[int, int]:
        """Runs a clip, writes the CSV, returns the numbers of frames and of crops."""
        capture = cv2.VideoCapture(str(clip))
        boxes: list[Array] = []
        index = crops = 0
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["frame", "person", "keypoint", "x", "y", "score"])
            for index, frame in enumerate(_frames(capture)):
                if index % self.every == 0:
                    boxes = self.people(frame)
                poses = self.poses(frame, boxes)
                crops += len(poses)
                for person, (points, scores) in enumerate(poses):
                    for keypoint, ((x, y), score) in enumerate(zip(points.tolist(), scores.tolist(), strict=True)):
                        writer.writerow([index, person, keypoint, f"{x:.2f}", f"{y:.2f}", f"{score:.3f}"])
                if self.every > 1:
                    boxes = [grown(points, scores) for points, scores in poses if (scores > POINT_SCORE).sum() > 3]
        return index + 1, crops

    def people(self, frame: NDArray[np.uint8]) -> list[Array]:
        """Boxes (4,) xyxy of people in a BGR frame (H, W, 3)."""
        stated = self.detector.get_inputs()[0]
        side = stated.shape[2] if isinstance(stated.shape[2], int) else SIDE
        scale = side / max(frame.shape[:2])
        small = cv2.resize(frame, (round(frame.shape[1] * scale), round(frame.shape[0] * scale)))
        picture = np.full((side, side, 3), 114, np.uint8)
        picture[: small.shape[0], : small.shape[1]] = small
        found = self.detector.run(None, {stated.name: planes(picture, BGR_MEAN, BGR_STD)[None]})[0][0]
        return [row[:4] / scale for row in found[found[:, 4] > PERSON_SCORE][:MOST_PEOPLE]]

    def poses(self, frame: NDArray[np.uint8], boxes: list[Array]) -> list[tuple[Array, Array]]:
        """Points (K, 2) in frame pixels and scores (K,) for each box, all people as one batch."""
        if not boxes:
            return []
        stated = self.pose.get_inputs()[0]
        height, width = int(stated.shape[2]), int(stated.shape[3])
        affines = [crop_affine(box, height, width) for box in boxes]
        crops = [cv2.warpAffine(frame, affine, (width, height)) for affine in affines]
        batch = np.stack([planes(crop[:, :, ::-1], RGB_MEAN, RGB_STD) for crop in crops])
        heatmaps = self.pose.run(None, {stated.name: batch})[0]
        return [decoded(one, affine) for one, affine in zip(heatmaps, affines, strict=True)]


def planes(image: NDArray[Any], means: tuple[float, ...], deviations: tuple[float, ...]) -> Array:
    """The normalised planes (3, H, W) of an image (H, W, 3)."""
    normalised = (image.astype(np.float32) - np.array(means, np.float32)) / np.array(deviations, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def crop_affine(box: Array, height: int, width: int) -> Array:
    """The matrix (2, 3) from frame to crop pixels: the box in the middle with a quarter more around it."""
    scale = min(height / max(box[3] - box[1], 1), width / max(box[2] - box[0], 1)) / 1.25
    middle = (box[:2] + box[2:]) / 2
    shift = np.array([width / 2, height / 2]) - scale * middle
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)


def decoded(heatmaps: Array, affine: Array) -> tuple[Array, Array]:
    """Points (K, 2) in frame pixels and scores (K,): the peak, moved by a Newton step on the blurred logarithm."""
    points, scores = np.zeros((len(heatmaps), 2), np.float32), heatmaps.max(axis=(1, 2))
    for index, heatmap in enumerate(heatmaps):
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        points[index] = column, row
        if 1 < row < heatmap.shape[0] - 2 and 1 < column < heatmap.shape[1] - 2:
            around = np.log(np.maximum(cv2.GaussianBlur(heatmap, (11, 11), 0), 1e-10))
            points[index] += newton_step(around[row - 2 : row + 3, column - 2 : column + 3])
    return ((points * 4 - affine[:, 2]) / affine[0, 0]).astype(np.float32), scores


def newton_step(around: Array) -> Array:
    """The step (2,) to the maximum of the parabola through the 5 × 5 cells around a peak, at most one cell."""
    slope = np.array([around[2, 3] - around[2, 1], around[3, 2] - around[1, 2]]) / 2
    xx = (around[2, 4] - 2 * around[2, 2] + around[2, 0]) / 4
    yy = (around[4, 2] - 2 * around[2, 2] + around[0, 2]) / 4
    xy = (around[3, 3] - around[1, 3] - around[3, 1] + around[1, 1]) / 4
    determinant = xx * yy - xy * xy
    if abs(determinant) < 1e-8:
        return np.zeros(2, np.float32)
    step = -np.array([yy * slope[0] - xy * slope[1], xx * slope[1] - xy * slope[0]]) / determinant
    return np.clip(step, -1, 1).astype(np.float32)


def grown(points: Array, scores: Array) -> Array:
    """The box (4,) around the trusted points of the last pose, a tenth larger on each side."""
    seen = points[scores > POINT_SCORE]
    low, high = seen.min(0), seen.max(0)
    margin = 0.1 * (high - low)
    return np.concatenate([low - margin, high + margin]).astype(np.float32)


def _frames(capture: cv2.VideoCapture) -> Iterator[NDArray[np.uint8]]:
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield np.asarray(frame, np.uint8)


@dataclass(frozen=True)
class VipnasLoop:
    """What `vipnas run CLIP -o TABLE` does with a pipeline."""

    bundle: Bundle
    pipeline: Pipeline
    propagator: Propagator

    @staticmethod
    def of(bundle: Bundle, pipeline: Pipeline, threads: int, budget: Budget | None) -> VipnasLoop:
        """A loop with its networks loaded; cycles of slow video are as short as the budget in FLOPs allows."""
        options = TrackerOptions(shortest_cycle=pipeline.shortest_cycle(budget.value) if budget else 0)
        tracker = open_tracker(pipeline, bundle.detector, RuntimeOptions(threads), options)
        return VipnasLoop(bundle, pipeline, tracker.propagator)

    def __call__(self, clip: Path, table: Path) -> tuple[int, int]:
        """Runs a clip, writes the CSV, returns the numbers of frames and of crops."""
        self.propagator.reset()
        with open_video(clip) as reader:
            info = reader.info
            header = ResultHeader(clip.name, info.width, info.height, info.time_base, self.pipeline.name)
            with CsvSink(table, OnnxEstimator.skeleton, header) as sink:
                statistics = process(reader, self.propagator, Outputs([sink], []), lambda _: None)
        return statistics.frames, statistics.crops.total()


def session(path: Path, threads: int) -> ort.InferenceSession:
    """A session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def measure(loops: dict[str, Loop], clip: Path, repeats: int, folder: Path) -> list[dict[str, object]]:
    """One row per loop: frames per second and milliseconds of the processor per frame, medians of runs in turns."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    frames, crops = {}, {}
    for turn in range(repeats + 1):
        for name, loop in loops.items():
            wall, cpu = time.perf_counter(), time.process_time()
            frames[name], crops[name] = loop(clip, folder / "table.csv")
            if turn > 0:
                runs[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    rows: list[dict[str, object]] = []
    for name, found in runs.items():
        fps = [frames[name] / wall for wall, _ in found]
        cpu_ms = [1000 * cpu / frames[name] for _, cpu in found]
        rows.append(
            {
                "clip": clip.name,
                "loop": name,
                "frames": frames[name],
                "crops_per_frame": round(crops[name] / frames[name], 2),
                "fps": round(median(fps), 2),
                "fps_low": round(min(fps), 2),
                "fps_high": round(max(fps), 2),
                "cpu_ms_per_frame": round(median(cpu_ms), 3),
            }
        )
    for row in rows:
        for plain, end in zip(rows, ("", "_10th"), strict=False):
            row[f"fps_ratio{end}"] = round(float(str(row["fps"])) / float(str(plain["fps"])), 2)
            slower = float(str(plain["cpu_ms_per_frame"])) / float(str(row["cpu_ms_per_frame"]))
            row[f"cpu_ratio{end}"] = round(slower, 2)
    return rows


def positive(text: str) -> int:
    """A whole number above 0; ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def flops(text: str) -> Budget:
    """A budget in FLOPs; ArgumentTypeError for ms and fps, by which no cycle is shortened here."""
    try:
        budget = Budget.parse(text)
    except BudgetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if budget.unit != "macs":
        raise argparse.ArgumentTypeError(f"budget {text!r} is not in FLOPs")
    return budget


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description="Frames per second of vipnas beside a plain loop.")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--detector", type=Path, required=True, help="your person detector in ONNX")
    parser.add_argument("--pose", type=Path, required=True, help="your pose network in ONNX")
    parser.add_argument("--weights", type=Path, help="pipelines to compare, instead of the bundled ones")
    parser.add_argument("--pipeline", action="append", help="only this pipeline of them; may be given several times")
    parser.add_argument("--budget", type=flops, help="in FLOPs: what it leaves shortens cycles of slow video")
    parser.add_argument("--repeats", type=positive, default=3)
    parser.add_argument("--threads", type=int, default=1, help="threads of each network of the plain loop")
    parser.add_argument("--own-threads", type=int, default=0, help="those of vipnas, 0: as `vipnas run` takes them")
    parser.add_argument("--csv", type=Path, help="write the rows here, too")
    return parser.parse_args()


def main() -> None:
    """Measures and prints one row per clip and loop."""
    options = parsed()
    cv2.setNumThreads(options.threads)
    detector, pose = (session(path, options.threads) for path in (options.detector, options.pose))
    loops: dict[str, Loop] = {
        "plain, detector on every frame": PlainLoop(detector, pose, 1),
        "plain, detector on every 10th frame": PlainLoop(detector, pose, 10),
    }
    bundle = with_detector(open_bundle(options.weights or bundled_weights()))
    for pipeline in bundle.by_cost:
        if not options.pipeline or pipeline.name in options.pipeline:
            loops[pipeline.name] = VipnasLoop.of(bundle, pipeline, options.own_threads, options.budget)
    machine = this_machine()
    facts = {
        "cpu": machine.cpu,
        "cores": machine.cores,
        "threads": options.threads,
        "own_threads": options.own_threads,
        "budget": options.budget,
        "os": platform.platform(),
        "provider": "cpu",
        "vipnas": __version__,
        "onnxruntime": machine.runtime,
        "av": av.__version__,
        "cv2": cv2.__version__,
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in options.clips:
            found = measure(loops, clip, options.repeats, Path(folder))
            rows += found
            print(f"\n{clip.name}")
            print(HEAD)
            for row in found:
                print(ROW.format(**row))
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*facts, *rows[0]])
            writer.writeheader()
            writer.writerows({**facts, **row} for row in rows)


if __name__ == "__main__":
    main()
