"""The verifier: one score per crop, whatever other crops come with it, at a cost that suits a second look."""

from __future__ import annotations

import torch

from vipnas_cli.cost import verifier_cost
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.spec.presets import FAST_BASE, VERIFIER


def test_crops_are_judged_one_by_one() -> None:
    torch.manual_seed(0)
    net, crops = BoxVerifier(VERIFIER).eval(), torch.randn(3, 3, 128, 96)
    with torch.no_grad():
        together = net(crops)
        apart = torch.cat([net(crop[None]) for crop in crops])
    assert together.shape == (3,)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    assert ((together > 0) & (together < 1)).all()


def test_places_in_the_crop_matter() -> None:
    torch.manual_seed(0)
    # Batch norm of an untrained network in evaluation would flatten all there is to see.
    net, crop = BoxVerifier(VERIFIER).train(), torch.zeros(1, 3, 128, 96)
    net.dropout.p = 0.0
    crop[:, :, :32, :32] = 3
    with torch.no_grad():
        upper, lower = net.raw(torch.cat([crop, crop.flip(2)]))
    assert (upper - lower).abs() > 0.01


def test_the_trunk_is_the_one_of_key_networks_so_that_their_weights_fit() -> None:
    known = {name: tensor.shape for name, tensor in BoxVerifier(FAST_BASE).state_dict().items()}
    own = {name: tensor.shape for name, tensor in BoxVerifier(VERIFIER).state_dict().items()}
    trunk = [name for name in own if name.startswith(("stem", "stages"))]
    assert len(trunk) > 200
    assert all(own[name] == known[name] for name in trunk)


def test_a_second_look_at_a_box_costs_less_than_a_third_of_the_first_at_the_picture() -> None:
    assert verifier_cost(VERIFIER).macs < 0.1e9
