"""Layers as small torch networks, side by side in one graph; each stands between convolutions that are not counted.

The convolutions around a layer give it the surroundings that it has in a network: ONNX Runtime computes most
convolutions in a blocked memory layout, and what it converts, and what it merges, depends on the neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vipnas_cli.nets.blocks import ConvNorm, GlobalContext, SqueezeExcite, activation, convolution, upsampling
from vipnas_cli.nets.fusion import TemporalFusion
from vipnas_cli.nets.posenet import family_input, heatmaps_from_raw, network_input
from vipnas_cli.spec import FusionSpec
from vipnas_cli.spec.families import FAMILIES, Activation
from vipnas_cli.spec.layers import (
    BottleneckEnd,
    Convolution,
    Deconvolutions,
    FinalConvolution,
    Fusion,
    Layer,
    Stem,
    Upsampling,
)

# Fewer channels than a block of the blocked layout, so that nothing converts the input of a graph.
FEW = 4
EPS = 1e-5


@dataclass(frozen=True)
class Feature:
    """An input that a convolution makes: channels, height and width in pixels."""

    channels: int
    height: int
    width: int


class Lane(nn.Module):
    """One layer: `before` and `skip` make its inputs, `body` is what counts, `after` takes its output."""

    def __init__(
        self, body: nn.Module, features: Sequence[Feature], outputs: int, extra: Sequence[Tensor] = ()
    ) -> None:
        """`outputs` 0 ends the graph with the body; `extra` inputs go into the body as they are."""
        super().__init__()
        self.body = body
        self.inputs = (*(torch.rand(1, FEW, f.height, f.width) for f in features), *extra)
        self.before = nn.Conv2d(FEW, features[0].channels, 1) if features else None
        # Without the rectifier the runtime would merge a sum into this convolution instead of the body's.
        self.skip = nn.Sequential(nn.Conv2d(FEW, features[1].channels, 1), nn.ReLU()) if len(features) > 1 else None
        self.after = nn.Conv2d(outputs, FEW, 1) if outputs else None

    def forward(self, *inputs: Tensor) -> Tensor:
        """What comes out after the layer."""
        made = [*inputs]
        if self.before is not None:
            made[0] = self.before(made[0])
        if self.skip is not None:
            made[1] = self.skip(made[1])
        out: Tensor = self.body(*made)
        return out if self.after is None else self.after(out)


class Idle(nn.Module):
    """Next to nothing: what its node seems to take is what the runtime's clock itself takes."""

    def forward(self, number: Tensor) -> Tensor:
        """One number's opposite."""
        return -number


class Lanes(nn.Module):
    """Several lanes beside each other, which share nothing, and an idle node."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__()
        self.lanes = nn.ModuleList(lanes)
        self.idle = Idle()
        self.inputs = (torch.rand(1), *(tensor for lane in lanes for tensor in lane.inputs))
        # The runtime names some nodes after what comes out of them.
        ends = (f"lanes.{index}/{'body' if lane.after is None else 'after'}" for index, lane in enumerate(lanes))
        self.output_names = ("idle", *ends)

    def forward(self, number: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The output of the idle node, and that of each lane on its share of the inputs."""
        left, found = list(inputs), [self.idle(number)]
        for lane in self.lanes:
            count = len(lane.inputs)  # type: ignore[arg-type]
            found.append(lane(*left[:count]))
            left = left[count:]
        return tuple(found)


class _Stem(nn.Module):
    """From bytes to the first stage."""

    def __init__(self, layer: Stem) -> None:
        super().__init__()
        rules = FAMILIES[layer.family]
        conv = convolution(3, layer.outputs, layer.kernel, 2)
        self.rules = rules
        self.conv = ConvNorm(conv, layer.outputs, EPS, rules.stem_activation)
        self.pool = nn.MaxPool2d(3, 2, 1) if rules.stem_pool else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Features of bytes (1, H, W, 3)."""
        out: Tensor = self.pool(self.conv(family_input(network_input(images), self.rules)))
        return out


class _Sum(nn.Module):
    """Layers, the sum with a second input, and an activation."""

    def __init__(self, layers: nn.Module, act: Activation | None = None) -> None:
        super().__init__()
        self.layers = layers
        self.act = activation(act) if act else nn.Identity()

    def forward(self, features: Tensor, other: Tensor) -> Tensor:
        """Both inputs as one."""
        out: Tensor = self.act(self.layers(features) + other)
        return out


class _Final(nn.Module):
    """From the head's output to heatmaps."""

    def __init__(self, layer: FinalConvolution) -> None:
        super().__init__()
        self.conv = nn.Conv2d(layer.inputs, layer.outputs, 1)
        self.output = layer.output

    def forward(self, features: Tensor) -> Tensor:
        """Heatmaps."""
        return heatmaps_from_raw(self.conv(features), self.output)


def lane_of(layer: Layer) -> Lane:
    """The lane that measures a layer."""
    match layer:
        case Stem():
            images = torch.randint(0, 256, (1, layer.height, layer.width, 3), dtype=torch.uint8)
            return Lane(_Stem(layer), (), layer.outputs, (images,))
        case Convolution():
            return _convolution_lane(layer)
        case BottleneckEnd():
            return _bottleneck_end_lane(layer)
        case Upsampling():
            return _upsampling_lane(layer)
        case Deconvolutions():
            return _deconvolutions_lane(layer)
        case FinalConvolution():
            return Lane(_Final(layer), (Feature(layer.inputs, layer.height, layer.width),), 0)
        case Fusion():
            return _fusion_lane(layer)
    raise TypeError(f"no lane for {layer!r}")


def _convolution_lane(layer: Convolution) -> Lane:
    act: Activation | None = None if layer.activation == "linear" else layer.activation  # type: ignore[assignment]
    conv = convolution(layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.groups)
    body: nn.Module = ConvNorm(conv, layer.outputs, EPS, act)
    if layer.squeeze_excite:
        body = nn.Sequential(body, SqueezeExcite(layer.outputs))
    features = [Feature(layer.inputs, layer.height, layer.width)]
    if layer.shortcut:
        body = _Sum(body)
        features.append(Feature(layer.outputs, layer.height, layer.width))
    return Lane(body, features, layer.outputs)


def _bottleneck_end_lane(layer: BottleneckEnd) -> Lane:
    context = GlobalContext(layer.outputs) if layer.global_context else nn.Identity()
    conv = ConvNorm(convolution(layer.inputs, layer.outputs, 1), layer.outputs, EPS)
    features = [Feature(channels, layer.height, layer.width) for channels in (layer.inputs, layer.outputs)]
    return Lane(_Sum(nn.Sequential(conv, context), "relu"), features, layer.outputs)


def _upsampling_lane(layer: Upsampling) -> Lane:
    channels = layer.channels
    deconvolution = ConvNorm(upsampling(channels, channels, layer.kernel, layer.groups), channels, EPS)
    coarse, finer = (Feature(channels, scale * layer.height, scale * layer.width) for scale in (1, 2))
    return Lane(_Sum(deconvolution, "relu6"), (coarse, finer), channels)


def _deconvolutions_lane(layer: Deconvolutions) -> Lane:
    deconvolutions = [
        ConvNorm(upsampling(inputs, layer.outputs, layer.kernel, layer.groups), layer.outputs, EPS, "relu")
        for inputs in (layer.inputs, layer.outputs, layer.outputs)
    ]
    features = (Feature(layer.inputs, layer.height, layer.width),)
    return Lane(nn.Sequential(*deconvolutions), features, layer.outputs)


def _fusion_lane(layer: Fusion) -> Lane:
    heatmaps = torch.rand(1, layer.keypoints, layer.height * layer.pooling, layer.width * layer.pooling)
    # The stage decides nothing in the module itself.
    spec = FusionSpec(layer.operation, 1)  # type: ignore[arg-type]
    fusion = TemporalFusion(spec, layer.keypoints, layer.channels)
    return Lane(fusion, (Feature(layer.channels, layer.height, layer.width),), layer.channels, (heatmaps,))


def drop_norms(net: nn.Module) -> None:
    """Puts random biases in place of the batch norms, which an exported network has no more either."""
    for child in net.modules():
        if isinstance(child, ConvNorm):
            conv, norm = child[0], child[1]
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            if isinstance(norm, nn.BatchNorm2d):
                # Biases away from zero also keep deep features away from denormal numbers, which are slow.
                conv.bias = nn.Parameter(torch.rand(norm.num_features))
                child[1] = nn.Identity()
