"""Nodes around a foreign graph: from RGB bytes to what it takes, and whatever follows its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vipnas_cli.errors import WeightsError
from vipnas_cli.spec.families import IMAGENET_MEAN, IMAGENET_STD

Colour = Literal["rgb", "bgr"]
# What the parts of a foreign graph are called inside ours.
PREFIX = "network/"
OLDEST_OPSET = 11


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from each byte of red, green and blue, and what the rest is divided by."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalisation("imagenet", IMAGENET_MEAN, IMAGENET_STD)
UNIT = Normalisation("0..1", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
SIGNED = Normalisation("-1..1", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
BYTES = Normalisation("0..255", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
NORMALISATIONS = (IMAGENET, UNIT, SIGNED, BYTES)


class PictureInput(Protocol):
    """The input of a network that takes pictures: its name, layout and type of numbers (of TensorProto)."""

    @property
    def input(self) -> str:
        """The input's name."""
        ...

    @property
    def channels_last(self) -> bool:
        """Whether pictures are (N, H, W, 3)."""
        ...

    @property
    def dtype(self) -> int:
        """The type of numbers."""
        ...


def operator_set(model: Any) -> int:
    """The ONNX operator set of a model; WeightsError if it is too old for the nodes around it."""
    found: int = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if found < OLDEST_OPSET:
        raise WeightsError(
            f"the network is written for ONNX operator set {found}", f"export it with {OLDEST_OPSET} or newer"
        )
    return found


class Nodes:
    """Adds nodes and constants around a graph, in place; `label` keeps the names of several such apart."""

    def __init__(self, graph: Any, label: str = "around") -> None:
        self.graph = graph
        self._label = label
        self._count = 0

    def constant(self, values: NDArray[Any]) -> str:
        """The name of a new constant."""
        self._count += 1
        name = f"{self._label}/{self._count}"
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def after(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        """The output of a new node at the end."""
        node = self._node(kind, inputs, name, **attributes)
        self.graph.node.append(node)
        result: str = node.output[0]
        return result

    def prepare(self, taken: PictureInput, colour: Colour, normalisation: Normalisation) -> None:
        """RGB bytes `images` (N, H, W, 3) to what the network takes."""
        first = [self._node("Cast", ["images"], to=TensorProto.FLOAT)]
        # Runtimes subtract a number from a whole plane far faster than three numbers from each pixel.
        first.append(self._node("Transpose", [first[-1].output[0]], perm=[0, 3, 1, 2]))
        if colour == "bgr":
            order = self.constant(np.array([2, 1, 0], np.int64))
            first.append(self._node("Gather", [first[-1].output[0], order], axis=1))
        # Mean and deviation are those of red, green and blue, whichever comes first.
        turn = slice(None, None, -1) if colour == "bgr" else slice(None)
        mean = np.array(normalisation.mean, np.float32)[turn].reshape(3, 1, 1)
        share = 1 / np.array(normalisation.std, np.float32)[turn].reshape(3, 1, 1)
        if mean.any():
            first.append(self._node("Sub", [first[-1].output[0], self.constant(mean.copy())]))
        if (share != 1).any():
            first.append(self._node("Mul", [first[-1].output[0], self.constant(share.copy())]))
        if taken.channels_last:
            first.append(self._node("Transpose", [first[-1].output[0]], perm=[0, 2, 3, 1]))
        last = self._node("Cast", [first[-1].output[0]], PREFIX + taken.input, to=taken.dtype)
        own = list(self.graph.node)
        del self.graph.node[:]
        self.graph.node.extend([*first, last, *own])

    def _node(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> Any:
        self._count += 1
        return helper.make_node(
            kind, inputs, [name or f"{self._label}/{self._count}"], f"{self._label}/node{self._count}", **attributes
        )
