"""Starts a key network from BlazePose (Bazarevsky et al., 2020), of any of its three sizes.

Family `pyramid` takes all of its weights up to the heatmaps, family `fast` those of the trunk. The files come with the
packages mediapipe (PyPI, `full` alone) and @mediapipe/pose (npm, all three), Apache-2.0.

Shapes: B batch, C channels, K keypoints, H, W input pixels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError
from vipnas_cli.nets.blocks import ConvNorm, InvertedResidual
from vipnas_cli.nets.posenet import LateralHead, PoseNet, ResidualHead
from vipnas_cli.training.pretrained.tflite_file import Layer, read_layers

Size = Literal["lite", "full", "heavy"]
# Where the packages keep the files; the second folder is made by `npm install` where it is called.
_IN_PACKAGE, _NPM_FOLDER = Path("modules", "pose_landmark"), Path("node_modules", "@mediapipe", "pose")
_HEATMAPS = 39
# Which of its 33 landmarks the COCO keypoints are: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
# Convolutions between the trunk and the first upsampling.
_PROJECTION = 4
# Its heatmaps are sigmoids; that much of their logits has the least loss under a softmax over positions.
_STEEPNESS = 0.4
# What `network_input` does to a byte, over what BlazePose does: its networks see 0 … 1.
_INPUT_SCALE, _INPUT_SHIFT = 128 / 255, 127 / 255


def blazepose_file(size: Size) -> Path:
    """The file of that size in a package that carries it; WeightsError if there is none."""
    found = importlib.util.find_spec("mediapipe")
    inside = (found.submodule_search_locations or ()) if found else ()
    for folder in (*(Path(place) / _IN_PACKAGE for place in inside), _NPM_FOLDER):
        path = folder / f"pose_landmark_{size}.tflite"
        if path.is_file():
            return path
    package = "npm install @mediapipe/pose" + (
        ", or pip install --no-deps mediapipe==0.10.14" if size == "full" else ""
    )
    raise WeightsError(f"the start from BlazePose needs the file pose_landmark_{size}.tflite", f"here {package}")


def start_from_blazepose(net: nn.Module, path: Path) -> None:
    """Copies a file's weights into a key network of families `pyramid` or `fast` that has its blocks, in place.

    Decoders may be wider. Batch norms add the biases and change nothing else until `settle_norms`. New channels start
    at random and nothing reads them yet. WeightsError for a file or a network of another layout.
    """
    parts = _read_parts(path)
    if not isinstance(net, PoseNet) or not isinstance(net.head, ResidualHead | LateralHead):
        raise WeightsError("BlazePose fits key networks of families pyramid and fast only", "choose another start")
    try:
        _check_blocks(net, parts)
        own = _norms(net.stem, *net.stages)
        for module, layer in zip(own, parts.trunk, strict=True):
            _copy(module, layer)
        if isinstance(net.head, ResidualHead):
            _copy_decoder(net.head, parts)
    except (ValueError, RuntimeError) as error:
        hint = (
            "use the preset of its size: pyramid-lite, pyramid-base (full), pyramid-heavy, or fast-lite, -full, -heavy"
        )
        raise WeightsError(f"{path} does not fit the network: {error}", hint) from error
    _take_input_scale(net.stem)
    if isinstance(net.head, ResidualHead):
        _copy_final(net.final, parts.final)


def converted_parts(net: PoseNet) -> list[nn.Module]:
    """What `start_from_blazepose` fills of a network."""
    return [net] if isinstance(net.head, ResidualHead) else [net.stem, net.stages]


@dataclass(frozen=True)
class _Parts:
    """The layers that heatmaps are made by: the trunk, of whose blocks so many are `residual`, what leads from it to
    the first upsampling, the two of each side input from coarse to fine, and the last one."""

    trunk: list[Layer]
    residual: int
    projection: list[Layer]
    sides: list[Layer]
    final: Layer


def _read_parts(path: Path) -> _Parts:
    layers = read_layers(path)
    made_by = {layer.writes: layer for layer in layers}
    ends = [layer for layer in layers if layer.weight is not None and layer.weight.shape[:1] == (_HEATMAPS,)]
    needed = _ancestors(made_by, ends[0]) if ends else set()
    sides = [layer for add in layers if add.writes in needed for layer in _side(add, made_by)]
    apart = {layer.writes for layer in (*sides, *ends)}
    rest = [layer for layer in layers if layer.weight is not None and layer.writes in needed - apart]
    if len(ends) != 1 or len(sides) != 6 or len(rest) <= _PROJECTION:
        raise WeightsError(f"{path} has not the layout of a pose_landmark file", "take one of package @mediapipe/pose")
    sums = [layer for layer in layers if layer.kind == "add" and layer.writes in needed]
    return _Parts(rest[:-_PROJECTION], len(sums) - len(sides) // 2, rest[-_PROJECTION:], sides, ends[0])


def _ancestors(made_by: Mapping[int, Layer], end: Layer) -> set[int]:
    """The tensors that a layer's result is computed from, its own included."""
    found: set[int] = set()
    ahead = [end.writes]
    while ahead:
        tensor = ahead.pop()
        if tensor in made_by and tensor not in found:
            found.add(tensor)
            ahead += made_by[tensor].reads
    return found


def _side(add: Layer, made_by: Mapping[int, Layer]) -> Iterator[Layer]:
    """The depthwise convolution and the one over channels whose result is added to what was upsampled, if it is."""
    before = [made_by[tensor] for tensor in add.reads if tensor in made_by]
    if add.kind == "add" and [layer.kind for layer in before if layer.weight is None] == ["other"]:
        for mixes in (layer for layer in before if layer.kind == "convolution"):
            yield from (made_by[tensor] for tensor in mixes.reads if tensor in made_by)
            yield mixes


def _check_blocks(net: PoseNet, parts: _Parts) -> None:
    """ValueError unless the network's blocks have the file's channels, and as many of them are residual."""
    theirs = [layer.weight.shape[0] for layer in parts.trunk if layer.weight is not None and layer.activation == "none"]
    ours = [stage.width for stage in net.arch.stages for _ in range(stage.depth)]
    if theirs != ours:
        raise ValueError(f"its blocks have {_listed(theirs)} channels, the network's {_listed(ours)}")
    residual = sum(isinstance(b, InvertedResidual) and b.residual for stage in net.stages for b in stage.children())
    if parts.residual != residual:
        raise ValueError(f"{parts.residual} of its blocks are residual, {residual} of the network's")


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _copy_decoder(head: ResidualHead, parts: _Parts) -> None:
    own = _norms(head.project, *head.lateral)
    for module, layer in zip(own, (*parts.projection, *parts.sides), strict=True):
        _copy(module, layer)
    for refine in _norms(*head.refine):
        _pass_through(refine[1])


def _norms(*parts: nn.Module) -> list[ConvNorm]:
    return [module for part in parts for module in part.modules() if isinstance(module, ConvNorm)]


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
    """Gives converted batch norms the statistics of images (B, 3, H, W), with scale and shift that change no result.

    The modes of the network's modules stay. WeightsError if there is no batch.
    """
    parts = converted_parts(net) if isinstance(net, PoseNet) else [net]
    norms = [module for part in parts for module in part.modules() if isinstance(module, nn.BatchNorm2d)]
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
