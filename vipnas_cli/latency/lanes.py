"""Units as small torch networks, side by side in one graph; each stands between convolutions that are not counted.

The convolutions around a unit give it the surroundings that it has in a network: ONNX Runtime computes most
convolutions in a blocked memory layout, and what it converts, and what it merges, depends on the neighbours.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vipnas_cli.latency.units import Conv, Deconvolutions, Fusion, Last, Stem, Tail, Unit, Upsampling
from vipnas_cli.nets.blocks import ConvNorm, GlobalContext, SqueezeExcite, activation, convolution, upsampling
from vipnas_cli.nets.fusion import TemporalFusion
from vipnas_cli.nets.posenet import heatmaps_from_raw, network_input
from vipnas_cli.spec import FusionSpec
from vipnas_cli.spec.families import FAMILIES, Activation

OPSET = 17
# Fewer channels than a block of the blocked layout, so that nothing converts the input of a graph.
FEW = 4
EPS = 1e-5


@dataclass(frozen=True)
class Feature:
    """An input that a convolution makes: channels, height, columns."""

    channels: int
    height: int
    columns: int


class Lane(nn.Module):
    """One unit: `before` and `skip` make its inputs, `body` is what counts, `after` takes its output."""

    def __init__(
        self, body: nn.Module, features: Sequence[Feature], outputs: int, extra: Sequence[Tensor] = ()
    ) -> None:
        """`outputs` 0 ends the graph with the body; `extra` inputs go into the body as they are."""
        super().__init__()
        self.body = body
        self.inputs = (*(torch.rand(1, FEW, f.height, f.columns) for f in features), *extra)
        self.before = nn.Conv2d(FEW, features[0].channels, 1) if features else None
        # Without the rectifier the runtime would merge a sum into this convolution instead of the body's.
        self.skip = nn.Sequential(nn.Conv2d(FEW, features[1].channels, 1), nn.ReLU()) if len(features) > 1 else None
        self.after = nn.Conv2d(outputs, FEW, 1) if outputs else None

    def forward(self, *inputs: Tensor) -> Tensor:
        """What comes out after the unit."""
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

    def __init__(self, unit: Stem) -> None:
        super().__init__()
        rules = FAMILIES[unit.family]
        conv = convolution(3, unit.width, unit.kernel, 2)
        self.conv = ConvNorm(conv, unit.width, EPS, rules.stem_activation)
        self.pool = nn.MaxPool2d(3, 2, 1) if rules.stem_pool else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Features of bytes (1, H, W, 3)."""
        out: Tensor = self.pool(self.conv(network_input(images)))
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


class _Last(nn.Module):
    """From the head's output to heatmaps."""

    def __init__(self, unit: Last) -> None:
        super().__init__()
        self.conv = nn.Conv2d(unit.width, unit.keypoints, 1)
        self.output = unit.output

    def forward(self, features: Tensor) -> Tensor:
        """Heatmaps."""
        return heatmaps_from_raw(self.conv(features), self.output)


def lane_of(unit: Unit) -> Lane:
    """The lane that measures a unit."""
    match unit:
        case Stem():
            images = torch.randint(0, 256, (1, unit.height, unit.columns, 3), dtype=torch.uint8)
            return Lane(_Stem(unit), (), unit.width, (images,))
        case Conv():
            return _conv_lane(unit)
        case Tail():
            context = GlobalContext(unit.outputs) if unit.attention else nn.Identity()
            conv = ConvNorm(convolution(unit.inputs, unit.outputs, 1), unit.outputs, EPS)
            sizes = (Feature(c, unit.height, unit.columns) for c in (unit.inputs, unit.outputs))
            return Lane(_Sum(nn.Sequential(conv, context), "relu"), tuple(sizes), unit.outputs)
        case Upsampling():
            deconvolution = upsampling(unit.width, unit.width, unit.kernel, unit.groups)
            coarse = Feature(unit.width, unit.height, unit.columns)
            finer = Feature(unit.width, 2 * unit.height, 2 * unit.columns)
            return Lane(_Sum(ConvNorm(deconvolution, unit.width, EPS), "relu6"), (coarse, finer), unit.width)
        case Deconvolutions():
            widths = (unit.inputs, unit.width, unit.width)
            layers = [
                ConvNorm(upsampling(inputs, unit.width, unit.kernel, unit.groups), unit.width, EPS, "relu")
                for inputs in widths
            ]
            return Lane(nn.Sequential(*layers), (Feature(unit.inputs, unit.height, unit.columns),), unit.width)
        case Last():
            return Lane(_Last(unit), (Feature(unit.width, unit.height, unit.columns),), 0)
        case Fusion():
            heatmaps = torch.rand(1, unit.keypoints, unit.height * unit.pooling, unit.columns * unit.pooling)
            # The stage decides nothing in the module itself.
            spec = FusionSpec(unit.operation, 1)  # type: ignore[arg-type]
            fusion = TemporalFusion(spec, unit.keypoints, unit.width)
            return Lane(fusion, (Feature(unit.width, unit.height, unit.columns),), unit.width, (heatmaps,))
    raise TypeError(f"no lane for {unit!r}")


def _conv_lane(unit: Conv) -> Lane:
    act: Activation | None = None if unit.activation == "linear" else unit.activation  # type: ignore[assignment]
    conv = convolution(unit.inputs, unit.outputs, unit.kernel, unit.stride, unit.groups)
    body: nn.Module = ConvNorm(conv, unit.outputs, EPS, act)
    if unit.attention:
        body = nn.Sequential(body, SqueezeExcite(unit.outputs))
    features = [Feature(unit.inputs, unit.height, unit.columns)]
    if unit.shortcut:
        body = _Sum(body)
        features.append(Feature(unit.outputs, unit.height, unit.columns))
    return Lane(body, features, unit.outputs)


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


def to_onnx(net: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], outputs: Sequence[str]) -> bytes:
    """An ONNX graph of a network without batch norms."""
    # The exporter writes to memory too, which its annotations do not tell.
    buffer: Any = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter based on tracing is many times as quick; torch calls it deprecated.
        warnings.simplefilter("ignore")
        options: dict[str, Any] = {"opset_version": OPSET, "dynamo": False}
        torch.onnx.export(net.eval(), inputs, buffer, input_names=list(names), output_names=list(outputs), **options)
    data: bytes = buffer.getvalue()
    return data
