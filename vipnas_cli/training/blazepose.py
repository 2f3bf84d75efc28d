"""Starts a network of family `pyramid` from BlazePose (Bazarevsky et al., 2020), whose weights all fit it.

The file `pose_landmark_full.tflite` comes with the package mediapipe, Apache-2.0. Of its outputs the heatmaps are kept.

Shapes: B batch, C channels, K keypoints, H, W input pixels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError
from vipnas_cli.nets.blocks import ConvNorm
from vipnas_cli.nets.posenet import PoseNet, ResidualHead
from vipnas_cli.training.tflite_file import Layer, read_layers

_PACKAGE, _FILE = "mediapipe", Path("modules", "pose_landmark", "pose_landmark_full.tflite")
_HEATMAPS = 39
# Which of its 33 landmarks the COCO keypoints are: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
# Layers of stem, blocks and the end of the trunk, and of the four features that the decoder takes in.
_TRUNK, _LATERAL = 49, 8
# Its heatmaps are sigmoids; that much of their logits has the least loss under a softmax over positions.
_STEEPNESS = 0.4
# What `network_input` does to a byte, over what BlazePose does: its networks see 0 … 1.
_INPUT_SCALE, _INPUT_SHIFT = 128 / 255, 127 / 255


def blazepose_file() -> Path:
    """The file in the package that carries it; WeightsError if the package is missing."""
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise WeightsError("the BlazePose start needs the package mediapipe", "pip install --no-deps mediapipe==0.10.14")


def start_from_blazepose(net: nn.Module, path: Path) -> None:
    """Copies a file's weights into a network of family `pyramid` that is at least as wide, in place.

    Batch norms add the biases and change nothing else until `settle_norms`. New channels start at random and nothing
    reads them yet. WeightsError for a file of another layout.
    """
    layers = read_layers(path)
    trunk, lateral, final = _parts(layers, path)
    head = net.head if isinstance(net, PoseNet) else None
    if not isinstance(net, PoseNet) or not isinstance(head, ResidualHead):
        raise WeightsError("BlazePose fits key networks of family pyramid only", "choose another start")
    own = [module for part in (net.stem, *net.stages, head.project) for module in _norms(part)]
    # The file's features come from fine to coarse, ours the other way round; the finest is for its mask.
    sides = [module for part in reversed(head.lateral) for module in _norms(part)]
    try:
        for module, layer in zip(chain(own, sides), (*trunk, *lateral[2:]), strict=True):
            _copy(module, layer)
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not fit the network: {error}", "use preset pyramid-base") from error
    _take_input_scale(net.stem)
    for refine in chain(*map(_norms, head.refine)):
        _pass_through(refine[1])
    _copy_final(net.final, final)


def _parts(layers: list[Layer], path: Path) -> tuple[list[Layer], list[Layer], Layer]:
    """Layers of the trunk, of the decoder's side inputs, and the one that ends in heatmaps."""
    made_by = {layer.writes: layer for layer in layers}
    found: tuple[list[Layer], list[Layer]] = ([], [])
    side = False
    for layer in layers:
        if layer.weight is None:
            continue
        if len(found[0]) + len(found[1]) == _TRUNK + _LATERAL:
            break
        before = made_by.get(layer.reads[0])
        # Side inputs begin with a depthwise convolution of a block's result, which has no rectifier behind it.
        block_ends = before is not None and before.kind in ("add", "convolution") and before.activation == "none"
        side = (layer.kind == "depthwise" and block_ends) or (side and before is found[1][-1])
        found[side].append(layer)
    ends = [layer for layer in layers if layer.weight is not None and layer.weight.shape[:1] == (_HEATMAPS,)]
    if (len(found[0]), len(found[1]), len(ends)) != (_TRUNK, _LATERAL, 1):
        raise WeightsError(f"{path} has not the layout of pose_landmark_full", "take the file of package mediapipe")
    return *found, ends[0]


def _norms(part: nn.Module) -> list[ConvNorm]:
    return [module for module in part.modules() if isinstance(module, ConvNorm)]


@torch.no_grad()
def _copy(module: ConvNorm, layer: Layer) -> None:
    """Writes a layer into the leading channels of a wider one."""
    assert layer.weight is not None
    assert layer.bias is not None
    weight: Tensor = module[0].weight  # type: ignore[assignment]
    outputs, inputs, kernel, _ = layer.weight.shape
    grows = weight.shape[0] >= outputs and weight.shape[1] >= inputs
    if not grows or weight.shape[2] != kernel or module[0].stride != (layer.stride, layer.stride):
        raise ValueError(f"a convolution of {layer.weight.shape} into one of {tuple(weight.shape)}")
    weight[:outputs] = 0
    weight[:outputs, :inputs] = torch.from_numpy(layer.weight)
    norm = _pass_through(module[1])
    norm.bias[:outputs] = torch.from_numpy(layer.bias)


@torch.no_grad()
def _pass_through(norm: nn.Module) -> nn.BatchNorm2d:
    """Makes a batch norm one that changes nothing, except one that blocks everything, which stays so."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    return norm


@torch.no_grad()
def _take_input_scale(stem: ConvNorm) -> None:
    """Makes a first layer for inputs of 0 … 1 one for those of `network_input`."""
    conv, norm = stem[0], stem[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    norm.bias.add_(conv.weight.sum((1, 2, 3)) * _INPUT_SHIFT)
    conv.weight.mul_(_INPUT_SCALE)


@torch.no_grad()
def _copy_final(final: nn.Conv2d, layer: Layer) -> None:
    assert layer.weight is not None
    assert layer.bias is not None
    final.weight.zero_()
    final.weight[:, : layer.weight.shape[1]] = torch.from_numpy(layer.weight[list(_LANDMARKS)])
    assert final.bias is not None
    final.bias.copy_(torch.from_numpy(layer.bias[list(_LANDMARKS)]))
    for tensor in (final.weight, final.bias):
        tensor *= _STEEPNESS


@torch.no_grad()
def settle_norms(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives batch norms the statistics of images (B, 3, H, W), and scale and shift that keep what the network computes.

    The modes of its modules stay. WeightsError if there is no batch.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def gather(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen = inputs[0].double().transpose(0, 1).flatten(1)
        count = torch.full((len(seen),), seen.shape[1], dtype=torch.float64)
        sums[norm] += torch.stack([count, seen.sum(1), seen.square().sum(1)])  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(gather) for norm in norms]
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    for images in batches:
        net(images)
    for module, training in modes:
        # One by one, as frozen parts stay in the mode for use.
        module.training = training
    for hook in hooks:
        hook.remove()
    for norm in norms:
        _settle(norm, sums[norm])


def _settle(norm: nn.BatchNorm2d, sums: Tensor) -> None:
    """`sums` (3, C): how many numbers were seen, their sum and the sum of their squares."""
    if not sums[0].all():
        raise WeightsError("batch-norm statistics cannot be found without data", "give at least one batch")
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean = sums[1] / sums[0]
    variance = sums[2] / sums[0] - mean.square()
    slope = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - slope * norm.running_mean
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance.clamp(min=0))
    norm.weight.copy_(slope * (norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(shift + slope * norm.running_mean)
