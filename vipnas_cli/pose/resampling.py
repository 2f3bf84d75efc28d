"""Values between cells."""

from __future__ import annotations

import numpy as np

from vipnas_cli.arrays import Reals

# The sharpness that reproduces parabolas.
_SHARPNESS = -0.5


def cubic_kernel(distance: Reals) -> Reals:
    """The cubic convolution kernel (Keys 1981) at distances in cells; it keeps the height of a peak between cells."""
    x = np.abs(distance)
    near = (_SHARPNESS + 2) * x**3 - (_SHARPNESS + 3) * x**2 + 1
    far = _SHARPNESS * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)), np.float64)
