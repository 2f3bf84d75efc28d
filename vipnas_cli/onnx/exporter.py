"""The one place that asks torch for an ONNX graph.

Shapes: P people, H, W pixels.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vipnas_cli.nets.posenet import network_input

OPSET = 17


class Deployed(nn.Module):
    """A network that takes RGB bytes (P, H, W, 3), so that users need no preprocessing, and may decode its heatmaps."""

    def __init__(self, net: nn.Module, decoder: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net
        self.decoder = decoder

    def forward(self, images: Tensor, previous_heatmaps: Tensor | None = None) -> Any:
        """What the network gives, and with a decoder also points and scores."""
        normalised = network_input(images)
        found = self.net(normalised) if previous_heatmaps is None else self.net(normalised, previous_heatmaps)
        return found if self.decoder is None else (found, *self.decoder(found))


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic_axes: Mapping[str, dict[int, str]] | None = None,
) -> bytes:
    """The ONNX file of a module in evaluation mode, traced on named inputs; sizes are fixed except `dynamic_axes`."""
    # The exporter writes to memory too, which its annotations do not tell.
    buffer: Any = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter based on tracing is many times as quick and makes one small file; torch calls it deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            buffer,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=dict(dynamic_axes) if dynamic_axes else None,
            opset_version=OPSET,
            dynamo=False,
        )
    data: bytes = buffer.getvalue()
    return data
