"""How frames become the pictures that detectors see."""

import numpy as np
import pytest

from vipnas_cli.pose.letterbox import Fit, Letterbox


@pytest.mark.parametrize("size", [(480, 640), (540, 960), (1080, 1920), (2160, 3840), (1079, 1921), (960, 540)])
def test_large_frames_keep_every_place_and_the_mean(size: tuple[int, int]) -> None:
    height, width = size
    across, down = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    frame = np.stack([across, down, np.full(size, 77)], -1).astype(np.uint8)
    fitted = Letterbox(416).of(frame)
    rows, columns = round(height * 416 / max(size)), round(width * 416 / max(size))
    seen = fitted.picture[:rows, :columns].astype(float)
    assert np.abs(seen[..., 0] - np.linspace(0, 250, columns)).max() < 2.5
    assert np.abs(seen[..., 1] - np.linspace(0, 250, rows)[:, None]).max() < 2.5
    assert (seen[..., 2] == 77).all()
    assert (fitted.picture[rows:] == 114).all()


def test_a_frame_that_is_halved_exactly_is_the_mean_of_its_pixels() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (4 * 234, 4 * 416, 3), np.uint8)
    seen = Letterbox(416).of(frame).picture[:234]
    assert np.abs(seen - frame.reshape(234, 4, 416, 4, 3).mean((1, 3))).max() <= 1.25


@pytest.mark.parametrize("fit", ["corner", "centre", "stretch"])
@pytest.mark.parametrize("size", [(2001, 3007), (353, 640), (848, 478), (1079, 1920)])
def test_the_edges_of_the_picture_are_those_of_the_frame(size: tuple[int, int], fit: Fit) -> None:
    frame = np.full((*size, 3), 255, np.uint8)
    fitted = Letterbox.fixed(416, 416, fit).of(frame)
    rows, columns = (np.flatnonzero((fitted.picture == 255).all(-1).any(axis)) for axis in (1, 0))
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    inner = (box + np.array([1, 1, -1, -1]) - fitted.offset) / fitted.scale
    across, down = 1 / fitted.scale[:2]
    height, width = size
    np.testing.assert_allclose(inner, [[across, down, width - across, height - down]], atol=1e-2)
