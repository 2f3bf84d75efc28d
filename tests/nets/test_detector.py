"""The person detector: boxes from distances, scores that start low, a cost that a CPU can pay."""

from __future__ import annotations

from dataclasses import replace

import torch

from vipnas_cli.nets.detector import DETECTOR_STRIDE, PersonDetector, boxes_from_distances, cell_centres
from vipnas_cli.spec.cost import detector_cost
from vipnas_cli.spec.presets import DETECTOR


def test_boxes_and_distances_invert_each_other() -> None:
    torch.manual_seed(0)
    x, y = cell_centres(6, 9, torch.device("cpu"))
    low, high = torch.rand(2, 6, 9, 2) * 60 + 2, torch.rand(2, 6, 9, 2) * 60 + 2
    centre = torch.stack([x.expand(6, 9), y[:, None].expand(6, 9)], -1)
    boxes = torch.cat([centre - low, centre + high], -1)
    cells = torch.cat([low, high], -1) / DETECTOR_STRIDE
    found = boxes_from_distances(cells.log().permute(0, 3, 1, 2))
    torch.testing.assert_close(found, boxes, atol=1e-3, rtol=0)


def test_cells_sit_in_the_middle_of_their_pixels() -> None:
    x, y = cell_centres(2, 3, torch.device("cpu"))
    assert x.tolist() == [4, 12, 20]
    assert y.tolist() == [4, 12]


def test_wild_distances_stay_finite() -> None:
    assert torch.isfinite(boxes_from_distances(torch.full((1, 4, 2, 2), 1e9))).all()


def test_maps_have_stride_8_and_scores_start_low() -> None:
    torch.manual_seed(0)
    net = PersonDetector(replace(DETECTOR, height=64, width=96)).eval()
    with torch.no_grad():
        scores, boxes = net(torch.randn(2, 3, 64, 96))
    assert scores.shape == (2, 8, 12)
    assert boxes.shape == (2, 8, 12, 4)
    assert scores.mean() < 0.1
    assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_the_detector_is_light() -> None:
    assert (DETECTOR.height, DETECTOR.width) == (320, 320)
    assert detector_cost(DETECTOR).macs <= 0.35e9
