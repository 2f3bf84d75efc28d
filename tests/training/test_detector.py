"""What a detector is asked for: which cells answer for whom, and that a right answer costs less than a wrong one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vipnas_cli.data.crowds import Scene
from vipnas_cli.nets.detector import DETECTOR_STRIDE, cell_centres
from vipnas_cli.training.detector import assign, background_mask, collate, detection_loss, generalised_iou, pairwise_iou

SIDE = 96
CELLS = SIDE // DETECTOR_STRIDE
NOBODY = np.zeros((0, 4), np.float32)


def scene(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> Scene:
    rows = [np.asarray(row or [], np.float32).reshape(-1, 4) for row in (boxes, ignored)]
    return Scene(np.zeros((SIDE, SIDE, 3), np.uint8), *rows)


def centres() -> Tensor:
    x, y = cell_centres(CELLS, CELLS, torch.device("cpu"))
    return torch.stack([x.repeat(CELLS), y.repeat_interleave(CELLS)], -1)


def raw(boxes: list[list[float]], score: float) -> tuple[Tensor, Tensor]:
    """An answer: every cell tells the box whose middle is nearest; the cells that answer for somebody have a score."""
    truth, points = torch.tensor(boxes), centres()
    nearest = truth[((truth[None, :, :2] + truth[None, :, 2:]) / 2 - points[:, None]).norm(dim=-1).argmin(1)]
    distances = torch.cat([points - nearest[:, :2], nearest[:, 2:] - points], 1).clamp(min=0.5) / DETECTOR_STRIDE
    people = (truth[None], torch.ones(1, len(truth), dtype=torch.bool))
    owner, *_ = assign(torch.zeros(1, CELLS**2), nearest[None], points, people)
    logits = torch.where(owner >= 0, score, -8.0)
    return logits.view(1, CELLS, CELLS), distances.log().T.reshape(1, 4, CELLS, CELLS)


def test_two_people_side_by_side_each_get_cells_of_their_own() -> None:
    truth = torch.tensor([[[7.0, 9, 39, 80], [37, 9, 69, 80]]])
    predicted = truth[0][(centres()[:, 0] > 38).long()][None]
    owner, quality, spare = assign(
        torch.zeros(1, CELLS**2), predicted, centres(), (truth, torch.ones(1, 2, dtype=torch.bool))
    )
    for person in (0, 1):
        mine = owner[0] == person
        assert 3 <= mine.sum() <= 12
        assert quality[0, mine].min() > 0.99
    assert quality[owner < 0].max() == 0
    assert spare.any()
    assert not (spare & (owner >= 0)).any()


def test_a_tiny_person_gets_one_cell_and_padding_gets_none() -> None:
    truth = torch.tensor([[[50.0, 50, 56, 60], [0, 0, 0, 0]]])
    predicted = torch.cat([centres() - 20, centres() + 20], 1)[None]
    present = torch.tensor([[True, False]])
    owner, *_ = assign(torch.full((1, CELLS**2), -4.0), predicted, centres(), (truth, present))
    assert (owner == 0).sum() == 1
    assert (owner == 1).sum() == 0
    cell = centres()[owner[0] == 0][0]
    assert (cell - torch.tensor([53.0, 55])).abs().max() <= 12


def test_right_answers_cost_less_than_wrong_ones() -> None:
    people = [[8.0, 8, 40, 80], [50, 16, 82, 88]]
    batch = collate([scene(people)])
    right = detection_loss(raw(people, 4.0), batch)
    silent = detection_loss(raw(people, -8.0), batch)
    shifted = detection_loss(raw([[x0 + 8, y0 + 16, x1 + 8, y1 + 16] for x0, y0, x1, y1 in people], 4.0), batch)
    assert right < 0.3 * silent
    assert right < 0.3 * shifted


def test_false_alarms_cost_nothing_in_regions_to_ignore() -> None:
    answer = raw([[8.0, 8, 40, 80], [50, 16, 82, 88]], 4.0)
    asked = detection_loss(answer, collate([scene([[8, 8, 40, 80]])]))
    ignored = detection_loss(answer, collate([scene([[8, 8, 40, 80]], [[50, 16, 82, 88]])]))
    assert ignored < 0.3 * asked
    assert background_mask(scene([], [[48, 0, 96, 96]])).mean() == 0.5


def test_pictures_without_people_teach_silence() -> None:
    batch = collate([scene([])])
    loud, silent = (
        detection_loss(raw([[8.0, 8, 40, 80]], 4.0), batch),
        detection_loss(raw([[8.0, 8, 40, 80]], -8), batch),
    )
    assert torch.isfinite(loud)
    assert silent < 0.01 * loud


def test_overlaps() -> None:
    a, b = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [30, 0, 40, 10]])
    torch.testing.assert_close(pairwise_iou(a[None], b[None])[0, 0], torch.tensor([1, 1 / 3, 0]))
    torch.testing.assert_close(generalised_iou(a, b), torch.tensor([1, 1 / 3, -0.5]))
