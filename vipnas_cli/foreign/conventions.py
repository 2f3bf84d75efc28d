"""Finds out what a file does not say by trying the usual ways on synthetic people, and confirms it by a score.

Channel order, normalisation and the crop's size around a person are those with which the network sees people best.
Where its cells lie is told without labels: a picture and its mirror image must give mirrored places.
Shapes: P people, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import WeightsError
from vipnas_cli.foreign.around import NORMALISATIONS, Colour, Normalisation
from vipnas_cli.foreign.pose_graph import Conventions, Grid, Signature, wrapped
from vipnas_cli.foreign.signature import open_foreign
from vipnas_cli.metrics.pck import pck
from vipnas_cli.pose import COCO17, CropTransform, HeatmapCodec
from vipnas_cli.pose.geometry import PADDING
from vipnas_cli.synthetic import SyntheticFrame, render_still

Images = NDArray[np.uint8]
Points = NDArray[np.float32]
PEOPLE = 24
# A few per cent of a crop's size show in the mean over fine thresholds of many.
MANY_PEOPLE, FINE = 48, (0.1, 0.05, 0.025)
PADDINGS = (1.1, 1.15, 1.2, 1.25, 1.3)
PICTURE_SIDE = 480
# A network that finds fewer of the keypoints of synthetic people than this was not understood.
LEAST_FOUND = 0.4
# A keypoint below this share of the surest ones tells nothing about where cells lie.
SURE = 0.5
# What sure peaks of our own heatmaps are at least and at most.
USUAL_PEAK = (0.5, 1.5)
# Grids that publishers use. A third, `centre`, is as symmetric as `edges` and differs by a third of a cell at most; it
# has to be stated.
USUAL_GRIDS: tuple[Grid, ...] = ("corner", "edges")


@dataclass(frozen=True)
class Trial:
    """One way to read a network, and the share of keypoints within a tenth of the box that it then finds."""

    conventions: Conventions
    found: float


@dataclass(frozen=True)
class Understood:
    """The conventions that were found or given, the share of keypoints found with them, and the next best reading."""

    conventions: Conventions
    found: float
    others: tuple[Trial, ...]


@dataclass(frozen=True)
class Given:
    """What the user states, None for what is to be found out."""

    colour: Colour | None = None
    normalisation: Normalisation | None = None
    grid: Grid | None = None
    padding: float | None = None


NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class _People:
    """Crops (P, H, W, 3) of synthetic people, points_crop (P, K, 2), which are visible (P, K), box sizes (P,)."""

    crops: Images
    points: Points
    visible: NDArray[np.bool_]
    sizes: NDArray[np.float64]


def understand(model: Any, signature: Signature, name: str, given: Given = NOTHING_GIVEN) -> Understood:
    """How a network is to be read; WeightsError if it finds no people in any of the usual ways."""
    stills = _stills()
    people = _people(stills[:PEOPLE], signature, given.padding or PADDING)
    colours: Iterable[Colour] = (given.colour,) if given.colour else ("rgb", "bgr")
    norms = (given.normalisation,) if given.normalisation else NORMALISATIONS
    trials = []
    for colour, normalisation in product(colours, norms):
        conventions = Conventions(colour, normalisation, given.grid or "centre", padding=given.padding or PADDING)
        trials.append(Trial(conventions, _found(model, signature, conventions, people)))
    trials.sort(key=lambda trial: -trial.found)
    best = trials[0]
    if best.found < LEAST_FOUND:
        raise WeightsError(
            f"{name} finds {best.found:.0%} of the keypoints of synthetic people in the best of {len(trials)} readings",
            "it may have other keypoints than COCO's 17, or a preprocessing that has to be stated",
        )
    conventions = best.conventions
    if given.grid is None:
        conventions = replace(conventions, grid=_grid(model, signature, conventions, people))
    conventions = replace(conventions, gain=_gain(model, signature, conventions, people))
    if given.padding is None:
        conventions = replace(conventions, padding=_padding(model, signature, conventions, stills))
        people = _people(stills[:PEOPLE], signature, conventions.padding)
    return Understood(conventions, _found(model, signature, conventions, people), tuple(trials[1:]))


def _stills() -> list[SyntheticFrame]:
    generator = np.random.default_rng(17)
    return [render_still(generator, PICTURE_SIDE, PICTURE_SIDE) for _ in range(MANY_PEOPLE)]


def _people(stills: Sequence[SyntheticFrame], signature: Signature, padding: float) -> _People:
    """The crops of the first person of each still, `padding` times as large as the box."""
    crops, points, visible, sizes = [], [], [], []
    for still in stills:
        transform = CropTransform.from_box(still.boxes_frame[0], signature.height, signature.width, padding)
        crops.append(transform.warp(still.image))
        points.append(transform.to_crop(still.points_frame[0]))
        visible.append(still.visibility[0] == 2)
        sizes.append(float((still.boxes_frame[0][2:] - still.boxes_frame[0][:2]).max()) * transform.scale)
    return _People(np.stack(crops), np.stack(points), np.stack(visible), np.asarray(sizes))


def _poses(model: Any, signature: Signature, conventions: Conventions, crops: Images) -> tuple[Points, Points]:
    """Points (P, K, 2) in crop pixels and peaks (P, K) of a network read in one way."""
    session = open_foreign(wrapped(model, signature, conventions))
    step = 8 if signature.people else 1
    parts = [session.run(["heatmaps"], {"images": crops[i : i + step]})[0] for i in range(0, len(crops), step)]
    heatmaps = np.concatenate(parts)
    points, _ = HeatmapCodec(signature.height, signature.width).decode(heatmaps)
    return points, heatmaps.max((2, 3))


def _found(
    model: Any, signature: Signature, conventions: Conventions, people: _People, within: tuple[float, ...] = (0.1,)
) -> float:
    """The share of keypoints that are found, the mean over distances `within` in box sizes."""
    points, _ = _poses(model, signature, conventions, people.crops)
    if not np.isfinite(points).all():
        return 0.0
    return float(np.mean(pck(people.points, points, people.visible, people.sizes, within))) / 100


def _padding(model: Any, signature: Signature, conventions: Conventions, stills: Sequence[SyntheticFrame]) -> float:
    """How much larger than a box the crop is in which the network places keypoints best."""
    found = {}
    for padding in PADDINGS:
        people = _people(stills, signature, padding)
        found[padding] = _found(model, signature, conventions, people, FINE)
    return max(PADDINGS, key=lambda padding: found[padding])


def _grid(model: Any, signature: Signature, conventions: Conventions, people: _People) -> Grid:
    """Where cells lie: the usual way in which a mirrored picture gives mirrored places."""
    errors = {grid: _contradiction(model, signature, replace(conventions, grid=grid), people) for grid in USUAL_GRIDS}
    return min(errors, key=lambda grid: errors[grid])


def _contradiction(model: Any, signature: Signature, conventions: Conventions, people: _People) -> float:
    """How far, in crop pixels and on average, places are from the mirror images of those of mirrored pictures."""
    straight, sure = _poses(model, signature, conventions, people.crops)
    mirrored, sure_mirrored = _poses(model, signature, conventions, np.ascontiguousarray(people.crops[:, :, ::-1]))
    order = list(COCO17.flip_order)
    expected = mirrored[:, order] * np.array([-1, 1], np.float32) + np.array([signature.width - 1, 0], np.float32)
    return float(abs(_mean_offset(straight, expected, np.minimum(sure, sure_mirrored[:, order]))[0]))


def _mean_offset(places: Points, expected: Points, sure: Points) -> NDArray[np.float64]:
    """The mean difference (2,) of places that are sure and near each other."""
    near = np.linalg.norm(places - expected, axis=-1) < 8
    used = near & (sure >= SURE * np.quantile(sure, 0.9))
    if not used.any():
        return np.full(2, np.inf)
    return np.asarray((places - expected)[used].astype(np.float64).mean(0))


def _gain(model: Any, signature: Signature, conventions: Conventions, people: _People) -> float:
    """What heatmaps are multiplied by so that sure peaks are near 1; 1 where they are."""
    peak = float(np.quantile(_poses(model, signature, conventions, people.crops)[1], 0.9))
    return 1.0 if USUAL_PEAK[0] <= peak <= USUAL_PEAK[1] or peak <= 0 else 0.9 / peak
