"""The super-network: one set of shared weights, every architecture of a space as a view of it.

Shapes: B batch, K keypoints, H, W input pixels.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vipnas_cli.errors import SpecError
from vipnas_cli.nets.batchnorm import BatchNorm, set_synced
from vipnas_cli.nets.fusion import TemporalFusion
from vipnas_cli.nets.narrowing import narrowed_state
from vipnas_cli.nets.posenet import PoseNet, heatmaps_from_raw
from vipnas_cli.spec import ArchSpec, FusionSpec, SearchSpace


class _Skeleton(PoseNet):
    """A PoseNet without weights whose result is the last layer's output, before it becomes heatmaps."""

    def forward(self, images: Tensor, previous_heatmaps: Tensor | None = None) -> Tensor:
        """See PoseNet.raw."""
        return self.raw(images, previous_heatmaps)


@lru_cache(maxsize=512)
def _skeleton(arch: ArchSpec, keypoints: int, fusion: FusionSpec, training: bool, synced: bool) -> _Skeleton:
    """The structure of an architecture on the meta device; its shapes say what to narrow shared tensors to."""
    with torch.device("meta"):
        skeleton = _Skeleton(arch, keypoints, fusion).train(training)
    set_synced(skeleton, synced)
    return skeleton


class SuperNet(nn.Module):
    """Shared weights of all architectures of a space: a PoseNet of the largest, and one fusion for each way to fuse.

    Running statistics of shared batch norms are a mixture of all architectures that were trained: score an extracted
    network, after recalibration.
    """

    def __init__(self, space: SearchSpace, keypoints: int = 17, fusions: tuple[FusionSpec, ...] = ()) -> None:
        super().__init__()
        self.space = space
        self.keypoints = keypoints
        self.store = PoseNet(space.largest, keypoints)
        self.fusions = nn.ModuleDict()
        self.fusion_specs = tuple(fusion for fusion in fusions if fusion.operation != "none")
        for fusion in self.fusion_specs:
            width = space.largest.tap_width(fusion.stage)
            self.fusions[fusion_name(fusion)] = TemporalFusion(fusion, keypoints, width)

    def raw(
        self, images: Tensor, arch: ArchSpec, previous: Tensor | None = None, fusion: FusionSpec | None = None
    ) -> Tensor:
        """What PoseNet.raw of that architecture gives, computed with views of the shared weights."""
        skeleton = _skeleton(arch, self.keypoints, fusion or FusionSpec(), self.training, self._synced)
        result: Tensor = functional_call(skeleton, self._state(skeleton), (images, previous), strict=True)
        return result

    def forward(
        self, images: Tensor, arch: ArchSpec, previous: Tensor | None = None, fusion: FusionSpec | None = None
    ) -> Tensor:
        """Heatmaps (B, K, H/4, W/4) of images (B, 3, H, W) by one architecture, bit for bit those of `extract`.

        In training mode the running statistics of the shared batch norms are updated in the narrowed part.
        SpecError if the architecture or the fusion does not fit into the shared weights.
        """
        return heatmaps_from_raw(self.raw(images, arch, previous, fusion), arch.rules.output)

    def extract(self, arch: ArchSpec, fusion: FusionSpec | None = None) -> PoseNet:
        """A PoseNet of its own with copies of the shared weights, in the mode and on the device of this network."""
        with torch.device("meta"):
            net = PoseNet(arch, self.keypoints, fusion)
        clones = {name: tensor.detach().clone() for name, tensor in self._state(net).items()}
        net.load_state_dict(clones, strict=True, assign=True)
        return net.train(self.training)

    @property
    def _synced(self) -> bool:
        """Whether batch norms take the statistics of all processes, see `set_synced`."""
        return any(module.synced for module in self.store.stem.modules() if isinstance(module, BatchNorm))

    def modules_for(self, net: PoseNet) -> dict[str, nn.Module]:
        """The shared modules under the names that a network has; SpecError if its fusion is not among them."""
        modules = dict(self.store.named_modules())
        if net.fusion is not None:
            name = fusion_name(net.fusion_spec)
            if name not in self.fusions:
                raise SpecError(
                    f"the super-network has no fusion {name}", f"it has {', '.join(self.fusions) or 'none'}"
                )
            modules |= dict(self.fusions[name].named_modules(prefix="fusion"))
        return modules

    def _state(self, net: PoseNet) -> dict[str, Tensor]:
        """The shared tensors under the names and with the shapes that a network has."""
        return narrowed_state(self.modules_for(net), net)


def fusion_name(fusion: FusionSpec) -> str:
    """The name of a way to fuse among `SuperNet.fusions`."""
    return f"{fusion.operation}{fusion.stage}"
