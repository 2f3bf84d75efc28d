"""Recalibrated statistics are those of the data, and nothing else of the network changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vipnas_cli.errors import WeightsError
from vipnas_cli.nets.batchnorm import BatchNorm, recalibrate, set_synced


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)).eval()


def test_statistics_become_those_of_the_batches() -> None:
    net = network()
    images = [3 * torch.randn(8, 3, 16, 16) + 1 for _ in range(4)]
    recalibrate(net, [(batch, None) for batch in images])
    seen = torch.stack([net[0](batch).mean((0, 2, 3)) for batch in images]).mean(0)
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(norm.running_mean, seen.detach())


def test_it_repeats_and_leaves_weights_mode_and_momentum_alone() -> None:
    net = network()
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    batches = [(torch.randn(4, 3, 8, 8), None)]
    recalibrate(net, batches)
    first = {name: buffer.clone() for name, buffer in net.named_buffers()}
    recalibrate(net, batches)
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, first[name], rtol=0, atol=0)
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name])
    assert not any(module.training for module in net.modules())
    assert [module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)] == [0.1, 0.1]


def test_without_data_there_is_nothing_to_average() -> None:
    with pytest.raises(WeightsError, match="without data"):
        recalibrate(network(), [])


def test_synced_norms_of_one_process_are_plain_ones() -> None:
    features = 3 * torch.randn(4, 5, 6, 7) + 2
    plain, synced = nn.BatchNorm2d(5), BatchNorm(5)
    set_synced(synced, True)
    assert torch.equal(plain(features), synced(features))
    assert torch.equal(plain.running_var, synced.running_var)
