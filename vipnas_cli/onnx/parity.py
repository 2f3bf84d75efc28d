"""Whether an exported network still gives torch's answers, on people that every machine draws alike.

Shapes: P people, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vipnas_cli.errors import WeightsError
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.pose import CropTransform, HeatmapCodec
from vipnas_cli.synthetic import SyntheticFrame, render_still

OUTPUT_TOLERANCE = 1e-4
POINT_TOLERANCE = 0.1
# How far a score may move.
SCORE_TOLERANCE = 0.02
# A crop is cut with a margin of a quarter of its box, so that boxes may move a little.
BOX_TOLERANCE = 1.0
PEOPLE = 6
# A keypoint below this score is noise: its place depends on the last digit.
_SURE = 0.1
_PICTURE_SIDE = 320

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """The largest difference of the outputs, and how far `compared` places (points, edges of boxes) moved, in pixels.

    `usually` is what 19 of 20 places stay within.
    """

    outputs: float
    places: float = 0.0
    usually: float = 0.0
    compared: int = 0

    def check(self, name: str, tolerance: float = POINT_TOLERANCE) -> None:
        """WeightsError if a tolerance is exceeded; `name` is the file that is not written then."""
        # Written so that NaN fails too.
        if not self.outputs <= OUTPUT_TOLERANCE:
            raise WeightsError(
                f"{name} was not written: it differs from torch by {self.outputs:.2g}, {OUTPUT_TOLERANCE:g} is allowed",
                "report it",
            )
        if not self.places <= tolerance:
            raise WeightsError(
                f"{name} was not written: a place is {self.places:.2g} pixels from torch's, {tolerance:g} is allowed",
                "report it",
            )


@lru_cache(maxsize=1)
def _stills() -> tuple[SyntheticFrame, ...]:
    generator = np.random.default_rng(2021)
    return tuple(render_still(generator, _PICTURE_SIDE, _PICTURE_SIDE) for _ in range(PEOPLE))


def fixed_people(height: int, width: int) -> tuple[Images, Floats]:
    """Crops (P, H, W, 3) of synthetic people as `run` would cut them, and their points_crop (P, K, 2).

    The last crop is noise, the worst case for arithmetic.
    """
    crops, points = [], []
    for still in _stills():
        transform = CropTransform.from_box(still.boxes_frame[0], height, width)
        crops.append(transform.warp(still.image))
        points.append(transform.to_crop(still.points_frame[0]))
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return np.stack([*crops, noise]), np.stack([*points, points[0]])


def fixed_picture(height: int, width: int) -> Images:
    """A picture (1, H, W, 3) with a synthetic person, H and W at most 320."""
    return _stills()[0].image[None, :height, :width]


def pose_inputs(net: PoseNet) -> dict[str, NDArray[Any]]:
    """What a network is compared on: crops and, with fusion, heatmaps of the people a few pixels away."""
    arch, keypoints = net.arch, net.final.out_channels
    crops, points = fixed_people(arch.height, arch.width)
    inputs: dict[str, NDArray[Any]] = {"images": crops}
    if net.fusion is not None:
        moved = points[:, np.arange(keypoints) % points.shape[1]] + np.float32(arch.height / 64)
        inputs["previous_heatmaps"] = HeatmapCodec(arch.height, arch.width).encode(moved)
    return inputs


def compare_heatmaps(expected: Floats, found: Floats, codec: HeatmapCodec) -> Parity:
    """Heatmaps (P, K, h, w) against what is expected.

    Points count where the expected heatmap has one peak that stands out; of two peaks as high as each other, or of
    noise, either is right.
    """
    difference = largest(expected, found)
    points, scores = codec.decode(expected)
    counted = (scores >= _SURE) & stands_out(expected, difference)
    moved = np.linalg.norm(codec.decode(found)[0] - points, axis=-1)[counted]
    if not moved.size:
        return Parity(difference)
    return Parity(difference, float(moved.max()), float(np.quantile(moved, 0.95)), moved.size)


def compare_cells(expected: Sequence[Floats], found: Sequence[Floats]) -> Parity:
    """Scores (1, h, w) and boxes (1, h, w, 4) of a detector against what is expected; boxes count where one is seen."""
    seen = expected[0] >= _SURE
    moved = np.abs(found[1] - expected[1])[seen].max(-1)
    difference = max(largest(want, got) for want, got in zip(expected, found, strict=True))
    if not moved.size:
        return Parity(difference)
    return Parity(difference, float(moved.max()), float(np.quantile(moved, 0.95)), moved.size)


def compare_verdicts(expected: Sequence[Floats], found: Sequence[Floats]) -> Parity:
    """Scores (N,) and places (N, 4) of a verifier against what is expected, both as shares."""
    moved = np.maximum(np.abs(found[0] - expected[0]), np.abs(found[1] - expected[1]).max(-1))
    return Parity(float(moved.max()), float(moved.max()), float(np.quantile(moved, 0.95)), moved.size)


def largest(expected: Floats, found: Floats) -> float:
    """The largest difference, relative where values exceed 1, as those of boxes in a large picture do."""
    return float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())


def stands_out(heatmaps: Floats, difference: float) -> NDArray[np.bool_]:
    """Which heatmaps (P, K, h, w) have a peak ten times the mean that no other cell could overtake by `difference`.

    Between neighbours the sub-pixel fit mostly makes up for either choice, so only those that are as high but for the
    last digits count as others: of a wide peak the fits around both may be a pixel apart.
    """
    people, keypoints, rows, columns = heatmaps.shape
    flat = heatmaps.reshape(people, keypoints, -1)
    best = flat.argmax(-1)[..., None, None]
    across = np.abs(np.arange(columns) - best % columns)
    down = np.abs(np.arange(rows)[:, None] - best // columns)
    apart, peak = np.maximum(down, across), flat.max(-1)
    far = np.where(apart > 1, heatmaps, -np.inf).max((-1, -2))
    near = np.where(apart == 1, heatmaps, -np.inf).max((-1, -2))
    result: NDArray[np.bool_] = (
        (peak >= 10 * np.abs(flat).mean(-1))
        & (far < peak - 2 * difference)
        & (near < peak - 2 * min(difference, OUTPUT_TOLERANCE))
    )
    return result


def run_torch(module: torch.nn.Module, inputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, ...]:
    """The outputs of a module for inputs in their order."""
    with torch.inference_mode():
        results = module(*(torch.from_numpy(array) for array in inputs.values()))
    return tuple(result.numpy() for result in (results if isinstance(results, tuple) else (results,)))
