"""Checkpoints of the paper's authors (mmpose 0.x and 1.x) as our presets: names translated, shapes checked.

Nothing of the file is run: it is read as tensors and plain values.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vipnas_cli.errors import WeightsError
from vipnas_cli.files import read_regular
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.pose import COCO17
from vipnas_cli.spec import ArchSpec, preset

SUFFIX = ".pth"
LARGEST_FILE = 500_000_000
UNDERSTOOD = "understood are the checkpoints vipnas_mbv3 and vipnas_res50 of mmpose 0.x and 1.x"
# A tensor that only one of the two networks has, in its names.
MARKS = {"backbone.conv1.conv.weight": "s-vipnet-mobilenetv3", "backbone.bn1.weight": "s-vipnet-res50"}
# What else such a file may hold beside the network: how pictures are normalised, which the presets know.
BESIDE = ("data_preprocessor.",)
# Notes on the training in files of mmpose 1.x are of these kinds; they are read as empty objects.
NOTES = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
)
# What torch raises for a file that it cannot read.
UNREADABLE = (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError)
# Our modules of a block and theirs.
INVERTED = {
    "expand.0": "expand_conv.conv",
    "expand.1": "expand_conv.bn",
    "spatial.0": "depthwise_conv.conv",
    "spatial.1": "depthwise_conv.bn",
    "attention.squeeze": "se.conv1.conv",
    "attention.excite": "se.conv2.conv",
    "project.0": "linear_conv.conv",
    "project.1": "linear_conv.bn",
}
BOTTLENECK = {
    "reduce.0": "conv1",
    "reduce.1": "bn1",
    "spatial.0": "conv2",
    "spatial.1": "bn2",
    "restore.0": "conv3",
    "restore.1": "bn3",
    "attention.mask": "attention.conv_mask",
    "attention.reduce": "attention.channel_add_conv.0",
    "attention.norm": "attention.channel_add_conv.1",
    "attention.restore": "attention.channel_add_conv.3",
    "shortcut.0": "downsample.0",
    "shortcut.1": "downsample.1",
}


@dataclass(frozen=True)
class AuthorsCheckpoint:
    """A network of the authors as the preset of that name, and the SHA-256 of the file it came from."""

    preset: str
    net: PoseNet
    sha256: str


def load_authors(path: Path) -> AuthorsCheckpoint:
    """The network in a checkpoint of the authors; WeightsError names what is missing, extra, or of another shape.

    Of networks with more keypoints the first 17 are kept, which are COCO's.
    """
    try:
        data = read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    tensors = _tensors(data, path)
    name = next((found for mark, found in MARKS.items() if mark in tensors), None)
    if name is None:
        some = ", ".join(list(tensors)[:3]) or "no tensors"
        raise WeightsError(f"{path} holds no ViPNAS network of its authors ({some})", UNDERSTOOD)
    net = PoseNet(preset(name)).eval()
    net.load_state_dict(_translated(tensors, net, path))
    return AuthorsCheckpoint(name, net, hashlib.sha256(data).hexdigest())


class _Note:
    """Stands for an object of a file that is none of a network's tensors; it keeps nothing."""

    def __new__(cls, *_arguments: object) -> _Note:
        return super().__new__(cls)

    def __init__(self, *_arguments: object) -> None:
        return

    def __setstate__(self, _state: object) -> None:
        return

    def __hash__(self) -> int:
        return id(self)


def _tensors(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names."""
    try:
        with torch.serialization.safe_globals([(_Note, name) for name in NOTES]):
            held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"(?:GLOBAL|global:?) `?([\w.]+)", str(error))
        what = f"asks for code to be run ({asked[1]})" if asked else "holds more than tensors and plain values"
        raise WeightsError(f"{path} {what}, which is not done", UNDERSTOOD) from error
    except UNREADABLE as error:
        raise WeightsError(f"{path} is not a readable checkpoint of torch", "restore or download it again") from error
    held = held.get("state_dict", held) if isinstance(held, dict) else {}
    found = {str(name).removeprefix("module."): value for name, value in _items(held) if isinstance(value, Tensor)}
    return {name: tensor for name, tensor in found.items() if not name.startswith(BESIDE)}


def _items(held: Any) -> Iterator[tuple[Any, Any]]:
    """The entries of a dictionary, none for anything else."""
    yield from held.items() if isinstance(held, Mapping) else ()


def _translated(tensors: dict[str, Tensor], net: PoseNet, path: Path) -> dict[str, Tensor]:
    """Their tensors under our names."""
    modules, head = module_names(net.arch), _head_name(tensors)
    state, used = {}, set()
    for name, own in net.state_dict().items():
        module, _, last = name.rpartition(".")
        theirs = f"{modules[module].replace('HEAD', head)}.{last}"
        if last == "num_batches_tracked":
            used.add(theirs)
            state[name] = own
            continue
        state[name] = _fitting(tensors, theirs, own, path, first=module == "final")
        used.add(theirs)
    extra = sorted(set(tensors) - used)
    if extra:
        raise WeightsError(f"{path} has {extra[0]}, which the published network has not", UNDERSTOOD)
    return state


def _fitting(tensors: dict[str, Tensor], name: str, own: Tensor, path: Path, first: bool) -> Tensor:
    """Their tensor of that name if it has the shape of ours; of the last layer the first keypoints."""
    if name not in tensors:
        raise WeightsError(f"{path} lacks {name}", UNDERSTOOD)
    tensor = tensors[name]
    if first and tensor.dim() == own.dim() and len(tensor) > len(COCO17.keypoints):
        tensor = tensor[: len(COCO17.keypoints)]
    if tensor.shape != own.shape or not tensor.is_floating_point():
        shapes = " instead of ".join("×".join(map(str, shape)) for shape in (tensors[name].shape, own.shape))
        raise WeightsError(f"{path}: {name} is {shapes}", UNDERSTOOD)
    return tensor.to(own.dtype)


def _head_name(tensors: dict[str, Tensor]) -> str:
    """What mmpose 0.x or 1.x calls the head."""
    return "keypoint_head" if any(name.startswith("keypoint_head.") for name in tensors) else "head"


def module_names(arch: ArchSpec) -> dict[str, str]:
    """Their name of each of our modules with weights; HEAD stands for what differs between mmpose 0.x and 1.x."""
    inverted = arch.rules.block == "inverted_residual"
    names = {"final": "HEAD.final_layer"}
    names |= {"stem.0": "backbone.conv1.conv", "stem.1": "backbone.conv1.bn"} if inverted else {}
    names |= {} if inverted else {"stem.0": "backbone.conv1", "stem.1": "backbone.bn1"}
    for step in range(3):
        names |= {f"head.{step}.{part}": f"HEAD.deconv_layers.{3 * step + part}" for part in (0, 1)}
    number = 0
    for index, stage in enumerate(arch.stages):
        for block in range(stage.depth):
            number += 1
            theirs = f"backbone.layer{number}" if inverted else f"backbone.layer{index + 1}.{block}"
            parts = INVERTED if inverted else BOTTLENECK
            names |= {f"stages.{index}.{block}.{own}": f"{theirs}.{other}" for own, other in parts.items()}
    return names
