"""The layers that networks are made of, as plain values that know what they cost; `networks` lists those of a network.

A layer is as small as keeps what a runtime fuses together: a convolution includes its batch norm, activation,
squeeze-and-excitation and the sum with a shortcut. `inputs` and `outputs` are channels, `height` and `width` the size
in pixels of what goes in. `macs` are the multiply-accumulates of convolutions and matrix products for one crop,
`parameters` the trained numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vipnas_cli.spec.families import Output


class Layer(Protocol):
    """Something that costs; equal layers cost the same and take the same time."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one crop."""
        ...

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        ...


def _weights(inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> int:
    """The weights of a convolution, as many as its multiply-accumulates per position."""
    return inputs * outputs // groups * kernel**2


@dataclass(frozen=True)
class Stem:
    """RGB bytes normalised, the first convolution (stride 2, batch norm), and in some families a max pooling."""

    family: str
    outputs: int
    kernel: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return _weights(3, self.outputs, self.kernel) * (self.height // 2) * (self.width // 2)

    @property
    def parameters(self) -> int:
        """See Layer."""
        return _weights(3, self.outputs, self.kernel) + 2 * self.outputs


@dataclass(frozen=True)
class SqueezeExcite:
    """Two 1×1 convolutions with biases on pooled features (paper section 2.1)."""

    channels: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return 2 * self.channels * self._hidden

    @property
    def parameters(self) -> int:
        """See Layer."""
        return self.macs + self._hidden + self.channels

    @property
    def _hidden(self) -> int:
        return max(self.channels // 4, 1)


@dataclass(frozen=True)
class GlobalContext:
    """Attention pooling over positions, then a bottleneck of two 1×1 convolutions with a layer norm (section 2.2)."""

    channels: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return self.channels * self.height * self.width + 2 * self.channels * self._hidden

    @property
    def parameters(self) -> int:
        """See Layer."""
        mask, norm = self.channels + 1, 2 * self._hidden
        return mask + 2 * self.channels * self._hidden + self._hidden + self.channels + norm

    @property
    def _hidden(self) -> int:
        return max(self.channels // 16, 16)


@dataclass(frozen=True)
class Convolution:
    """A convolution with batch norm and activation ("linear" for none), squeeze-and-excitation, and shortcut."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    activation: str
    squeeze_excite: bool
    shortcut: bool
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        positions = (self.height // self.stride) * (self.width // self.stride)
        attention = SqueezeExcite(self.outputs).macs if self.squeeze_excite else 0
        return _weights(self.inputs, self.outputs, self.kernel, self.groups) * positions + attention

    @property
    def parameters(self) -> int:
        """See Layer."""
        attention = SqueezeExcite(self.outputs).parameters if self.squeeze_excite else 0
        return _weights(self.inputs, self.outputs, self.kernel, self.groups) + 2 * self.outputs + attention


@dataclass(frozen=True)
class BottleneckEnd:
    """The end of a bottleneck: 1×1 convolution with batch norm, global context, sum with the shortcut, rectifier."""

    inputs: int
    outputs: int
    global_context: bool
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        attention = self._attention.macs if self.global_context else 0
        return _weights(self.inputs, self.outputs) * self.height * self.width + attention

    @property
    def parameters(self) -> int:
        """See Layer."""
        attention = self._attention.parameters if self.global_context else 0
        return _weights(self.inputs, self.outputs) + 2 * self.outputs + attention

    @property
    def _attention(self) -> GlobalContext:
        return GlobalContext(self.outputs, self.height, self.width)


@dataclass(frozen=True)
class Upsampling:
    """A deconvolution with batch norm that doubles the size, the sum with a lateral connection, and the activation."""

    channels: int
    kernel: int
    groups: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return _weights(self.channels, self.channels, self.kernel, self.groups) * self.height * self.width

    @property
    def parameters(self) -> int:
        """See Layer."""
        return _weights(self.channels, self.channels, self.kernel, self.groups) + 2 * self.channels


@dataclass(frozen=True)
class Deconvolutions:
    """Three deconvolutions of stride 2, each with batch norm and rectifier (paper section 1.4)."""

    inputs: int
    outputs: int
    kernel: int
    groups: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        positions = self.height * self.width
        return sum(weights * positions * 4**step for step, weights in enumerate(self._weights_by_step))

    @property
    def parameters(self) -> int:
        """See Layer."""
        return sum(weights + 2 * self.outputs for weights in self._weights_by_step)

    @property
    def _weights_by_step(self) -> list[int]:
        widths = (self.inputs, self.outputs, self.outputs)
        return [_weights(inputs, self.outputs, self.kernel, self.groups) for inputs in widths]


@dataclass(frozen=True)
class FinalConvolution:
    """The last 1×1 convolution, with biases, and what makes heatmaps of its output (`output` of the family)."""

    inputs: int
    outputs: int
    output: Output
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return _weights(self.inputs, self.outputs) * self.height * self.width

    @property
    def parameters(self) -> int:
        """See Layer."""
        return _weights(self.inputs, self.outputs) + self.outputs


@dataclass(frozen=True)
class Fusion:
    """Previous heatmaps, `pooling` times as large, joined to a feature (paper section 3.1): 3×3 and 1×1 convolution."""

    operation: str
    keypoints: int
    channels: int
    pooling: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return self._weights * self.height * self.width

    @property
    def parameters(self) -> int:
        """See Layer."""
        return self._weights + self._hidden + self.channels

    @property
    def _weights(self) -> int:
        joined = self._hidden + (self.channels if self.operation == "cat" else 0)
        return _weights(self.keypoints, self._hidden, 3) + _weights(joined, self.channels)

    @property
    def _hidden(self) -> int:
        return 2 * self.keypoints


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with biases."""

    inputs: int
    outputs: int

    @property
    def macs(self) -> int:
        """See Layer."""
        return _weights(self.inputs, self.outputs)

    @property
    def parameters(self) -> int:
        """See Layer."""
        return _weights(self.inputs, self.outputs) + self.outputs
