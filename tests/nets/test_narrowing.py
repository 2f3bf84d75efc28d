"""Narrowing keeps, of every filter, the weights of the inputs that the filter still sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vipnas_cli.errors import SpecError
from vipnas_cli.nets.blocks import convolution, upsampling
from vipnas_cli.nets.fusion import TemporalFusion
from vipnas_cli.nets.narrowing import block_diagonal, kernel_centre, leading, narrowed_state
from vipnas_cli.spec import FusionSpec


def dense(layer: nn.Conv2d | nn.ConvTranspose2d, weight: Tensor) -> Tensor:
    """A grouped weight as (inputs, outputs, k, k) with zeros between groups, filled entry by entry."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    result = torch.zeros(layer.in_channels, layer.out_channels, *weight.shape[2:])
    rows_per_group = weight.shape[0] // layer.groups
    for row in range(weight.shape[0]):
        group = row // rows_per_group
        for column in range(weight.shape[1]):
            other = group * weight.shape[1] + column
            place = (row, other) if transposed else (other, row)
            result[place] = weight[row, column]
    return result


def connected(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """Which outputs see which inputs, (inputs, outputs, 1, 1)."""
    return (dense(layer, torch.ones_like(layer.weight))[..., :1, :1] > 0).float()


CONVOLUTIONS = [
    # Store and wanted: channels and channels per group.
    *[((24, 8), (24, wanted)) for wanted in (8, 4, 2, 1)],
    *[((24, 8), (width, group)) for width in (20, 16, 12, 4) for group in (4, 2, 1)],
    ((24, 1), (10, 1)),
    ((24, 24), (24, 24)),
    ((24, 24), (18, 6)),
    ((80, 10), (60, 5)),
    ((24, 4), (4, 4)),
]


@pytest.mark.parametrize(("store", "wanted"), CONVOLUTIONS)
@pytest.mark.parametrize("kernels", [(5, 5), (7, 3), (3, 1)])
def test_grouped_convolutions_keep_what_they_still_see(
    store: tuple[int, int], wanted: tuple[int, int], kernels: tuple[int, int]
) -> None:
    shared = convolution(store[0], store[0], kernels[0], groups=store[0] // store[1])
    narrow = convolution(wanted[0], wanted[0], kernels[1], groups=wanted[0] // wanted[1])
    weight = narrowed_state({"": shared}, narrow)["weight"]
    assert weight.shape == narrow.weight.shape
    cut = (kernels[0] - kernels[1]) // 2
    full = dense(shared, shared.weight.detach())[
        : wanted[0], : wanted[0], cut : kernels[0] - cut, cut : kernels[0] - cut
    ]
    assert torch.equal(dense(narrow, weight.detach()), full * connected(narrow))


DECONVOLUTIONS = [
    # Store and wanted: inputs, outputs, groups.
    ((24, 16, 1), (24, 16, 1)),
    ((24, 16, 1), (18, 12, 1)),
    ((24, 16, 1), (18, 12, 6)),
    ((24, 16, 1), (12, 12, 12)),
    ((24, 16, 1), (20, 10, 5)),
    ((16, 16, 16), (12, 12, 12)),
    ((16, 16, 4), (16, 16, 8)),
    ((16, 16, 4), (12, 12, 12)),
    ((16, 16, 4), (10, 10, 5)),
    ((24, 16, 8), (24, 16, 8)),
]


@pytest.mark.parametrize(("store", "wanted"), DECONVOLUTIONS[:-1])
@pytest.mark.parametrize("kernels", [(4, 4), (4, 2), (2, 2)])
def test_deconvolutions_keep_what_they_still_see(
    store: tuple[int, int, int], wanted: tuple[int, int, int], kernels: tuple[int, int]
) -> None:
    shared = upsampling(store[0], store[1], kernels[0], store[2])
    narrow = upsampling(wanted[0], wanted[1], kernels[1], wanted[2])
    weight = narrowed_state({"": shared}, narrow)["weight"]
    cut = (kernels[0] - kernels[1]) // 2
    full = dense(shared, shared.weight.detach())[
        : wanted[0], : wanted[1], cut : kernels[0] - cut, cut : kernels[0] - cut
    ]
    assert torch.equal(dense(narrow, weight.detach()), full * connected(narrow))


@pytest.mark.parametrize("transposed", [False, True])
def test_dense_functions_agree_with_torch(transposed: bool) -> None:
    # The yardstick of the tests above, held against the layers themselves.
    layer = upsampling(8, 12, 4, 4) if transposed else nn.Conv2d(8, 12, 4, groups=4, bias=False)
    images = torch.randn(2, 8, 5, 5)
    weight = dense(layer, layer.weight.detach())
    expected = (
        nn.functional.conv_transpose2d(images, weight, stride=2, padding=1)
        if transposed
        else nn.functional.conv2d(images, weight.transpose(0, 1))
    )
    torch.testing.assert_close(layer(images), expected)


def test_a_smaller_kernel_samples_the_same_places() -> None:
    # With the outer ring of the kernel at zero, cutting it off changes nothing.
    for layer, narrow in (
        (convolution(3, 4, 5, 2), convolution(3, 4, 3, 2)),
        (upsampling(3, 4, 4, 1), upsampling(3, 4, 2, 1)),
    ):
        with torch.no_grad():
            layer.weight[:, :, [0, -1]] = 0
            layer.weight[:, :, :, [0, -1]] = 0
        narrow.load_state_dict(narrowed_state({"": layer}, narrow))
        images = torch.randn(1, 3, 8, 8)
        torch.testing.assert_close(narrow(images), layer(images))


def test_other_layers_keep_leading_entries() -> None:
    shared, narrow = nn.BatchNorm2d(8), nn.BatchNorm2d(5)
    nn.init.normal_(shared.weight)
    state = narrowed_state({"": shared}, narrow)
    assert set(state) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert torch.equal(state["weight"], shared.weight[:5])
    # Buffers are views, so that training updates the shared statistics.
    state["running_mean"].fill_(3)
    assert shared.running_mean is not None
    assert shared.running_mean.tolist() == [3] * 5 + [0] * 3


def test_cat_keeps_the_leading_channels_of_both_parts() -> None:
    shared, narrow = (TemporalFusion(FusionSpec("cat", 2), 3, channels) for channels in (8, 5))
    nn.init.normal_(shared.adapt.weight)
    weight = narrowed_state(dict(shared.named_modules()), narrow)["adapt.weight"]
    assert torch.equal(weight[:, :5], shared.adapt.weight[:5, :5])
    assert torch.equal(weight[:, 5:], shared.adapt.weight[:5, 8:])
    # Features whose further channels are silent give the same fusion.
    features, heatmaps = torch.randn(1, 5, 4, 4), torch.rand(1, 3, 8, 8)
    wide = torch.cat([features, torch.zeros(1, 3, 4, 4)], 1)
    narrow.load_state_dict(narrowed_state(dict(shared.named_modules()), narrow))
    torch.testing.assert_close(narrow(features, heatmaps), shared(wide, heatmaps)[:, :5])


@pytest.mark.parametrize(
    ("shared", "wanted"),
    [
        (nn.BatchNorm2d(4), nn.BatchNorm2d(5)),
        (convolution(4, 4, 3), convolution(4, 4, 5)),
        (upsampling(4, 4, 4, 1), upsampling(4, 4, 3, 1)),
        (convolution(4, 4, 3), convolution(4, 5, 3)),
        (convolution(8, 8, 3, groups=4), convolution(8, 8, 3, groups=2)),
        (convolution(12, 12, 3, groups=3), convolution(12, 12, 3, groups=4)),
        (convolution(8, 8, 3, groups=4), convolution(12, 12, 3, groups=6)),
        (upsampling(24, 16, 4, 8), upsampling(16, 16, 4, 8)),
        (nn.Identity(), nn.BatchNorm2d(4)),
        (nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1)),
    ],
)
def test_what_does_not_fit_is_refused(shared: nn.Module, wanted: nn.Module) -> None:
    with pytest.raises(SpecError):
        narrowed_state({"": shared}, wanted)


def test_views_share_memory() -> None:
    weight = torch.zeros(8, 4, 5, 5)
    leading(weight, (2, 3, 5, 5)).fill_(1)
    kernel_centre(weight, 1).fill_(2)
    assert weight.sum() == 2 * 3 * 24 + 2 * 8 * 4
    assert block_diagonal(weight, (8, 4), 2, 2).data_ptr() == weight.data_ptr()
