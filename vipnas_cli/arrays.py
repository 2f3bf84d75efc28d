"""The arrays that travel through the package, each with one meaning; shapes are given where they are used.

Pictures are RGB, boxes are xyxy, points are x then y with (0, 0) at the centre of the top-left pixel; names end
in the space that numbers are in: `_frame`, `_crop` or `_heatmap`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture (H, W, 3), or several (N, H, W, 3)."""

Boxes = NDArray[np.float32]
"""Boxes (N, 4) xyxy in pixels."""

Points = NDArray[np.float32]
"""Keypoints (P, K, 2) in pixels."""

Scores = NDArray[np.float32]
"""Confidences in 0 … 1, (N,) of boxes or (P, K) of keypoints."""

Heatmaps = NDArray[np.float32]
"""Heatmaps (P, K, h, w) of crops at stride 4, with peaks in 0 … 1."""

Ids = NDArray[np.int64]
"""Who is who (P,), or indices (N,)."""

Flags = NDArray[np.bool_]
"""Yes or no for each row."""

Reals = NDArray[np.float64]
"""Numbers at full precision, where sums are taken."""

Numbers = NDArray[np.floating]
"""Numbers of any precision."""
