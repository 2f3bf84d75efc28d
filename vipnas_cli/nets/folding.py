"""Batch norms merged into the convolutions before them."""

from __future__ import annotations

from torch import nn

from vipnas_cli.nets.blocks import ConvNorm


def fold_batch_norm(module: nn.Module) -> None:
    """Merges each batch norm into the convolution before it, in place; the network must be in evaluation mode."""
    for child in module.modules():
        if isinstance(child, ConvNorm):
            conv, norm = child[0], child[1]
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            assert isinstance(norm, nn.BatchNorm2d)
            _fold(conv, norm)
            child[1] = nn.Identity()


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    """Scales the filters and adds a bias; torch's own helper does not know grouped deconvolutions."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = conv.weight
    if isinstance(conv, nn.ConvTranspose2d):
        # A deconvolution's filters are (input, output within the group, k, k).
        grouped = weight.view(conv.groups, -1, *weight.shape[1:]) * scale.view(conv.groups, 1, -1, 1, 1)
        folded = grouped.flatten(0, 1)
    else:
        folded = weight * scale[:, None, None, None]
    conv.weight = nn.Parameter(folded.detach())
    conv.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
