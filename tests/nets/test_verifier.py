"""The verifier: one score and place per crop, whatever other crops come with it, at a cost that suits a second look."""

from __future__ import annotations

import numpy as np
import torch

from vipnas_cli.nets.verifier import BoxVerifier, placed
from vipnas_cli.spec.cost import verifier_cost
from vipnas_cli.spec.presets import FAST_BASE, VERIFIER


def test_crops_are_judged_one_by_one() -> None:
    torch.manual_seed(0)
    net, crops = BoxVerifier(VERIFIER).eval(), torch.randn(3, 3, 128, 96)
    with torch.no_grad():
        scores, places = net(crops)
        apart = [net(crop[None]) for crop in crops]
    assert scores.shape == (3,)
    assert places.shape == (3, 4)
    torch.testing.assert_close(scores, torch.cat([score for score, _ in apart]), atol=1e-5, rtol=0)
    torch.testing.assert_close(places, torch.cat([place for _, place in apart]), atol=1e-5, rtol=0)
    assert ((scores > 0) & (scores < 1)).all()


def test_a_box_stays_moves_and_grows_and_never_turns_inside_out() -> None:
    moves = torch.tensor([[0, 0, 0, 0], [0.1, -0.2, 0, 0], [0, 0, float(np.log(2)), 0], [0, 0, -50, 50]])
    places = placed(moves)
    expected = torch.tensor([[0, 0, 1, 1], [0.1, -0.2, 1.1, 0.8], [-0.5, 0, 1.5, 1]])
    torch.testing.assert_close(places[:3], expected)
    assert (places[:, 2:] - places[:, :2] > 0.3).all()


def test_places_in_the_crop_matter() -> None:
    torch.manual_seed(0)
    # Batch norm of an untrained network in evaluation would flatten all there is to see.
    net, crop = BoxVerifier(VERIFIER).train(), torch.zeros(1, 3, 128, 96)
    net.dropout.p = 0.0
    crop[:, :, :32, :32] = 3
    with torch.no_grad():
        upper, lower = net.raw(torch.cat([crop, crop.flip(2)]))
    assert (upper - lower).abs().max() > 0.01


def test_the_trunk_is_the_one_of_key_networks_so_that_their_weights_fit() -> None:
    known = {name: tensor.shape for name, tensor in BoxVerifier(FAST_BASE).state_dict().items()}
    own = {name: tensor.shape for name, tensor in BoxVerifier(VERIFIER).state_dict().items()}
    trunk = [name for name in own if name.startswith(("stem", "stages"))]
    assert len(trunk) > 200
    assert all(own[name] == known[name] for name in trunk)


def test_a_second_look_at_a_box_costs_less_than_a_third_of_the_first_at_the_picture() -> None:
    assert verifier_cost(VERIFIER).macs < 0.1e9
