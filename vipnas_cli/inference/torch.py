"""Torch back end: the same protocol as the ONNX Runtime back end, for checkpoints and for comparison.

Shapes: P people, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.estimator import Crops, Heatmaps
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.pose import COCO17, Skeleton
from vipnas_cli.pose.letterbox import Letterbox
from vipnas_cli.spec import Plan, Schedule


class TorchEstimator:
    """Networks of a schedule, one per position of the cycle."""

    skeleton: Skeleton = COCO17

    def __init__(self, networks: Sequence[PoseNet], device: torch.device) -> None:
        self.schedule = Schedule(tuple(Plan(network.arch, network.fusion_spec) for network in networks))
        self._device = device
        self._networks = [network.to(device).eval() for network in networks]

    @torch.inference_mode()
    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Heatmaps (P, K, h, w) of RGB crops (P, H, W, 3); see PoseEstimator."""
        network = self._networks[position % len(self._networks)]
        if network.fusion is not None and previous is None:
            raise WeightsError(f"position {position} of the cycle needs previous heatmaps", "start with a key frame")
        images = network_input(torch.from_numpy(crops).to(self._device))
        carried = None if previous is None else torch.from_numpy(previous).to(self._device)
        heatmaps: Heatmaps = network(images, carried).cpu().numpy()
        return heatmaps


class TorchDetector:
    """A person detector of a checkpoint, with a verifier if one is given; see CellDetector."""

    def __init__(
        self,
        network: PersonDetector,
        device: torch.device,
        threshold: float = 0.3,
        verifier: TorchVerifier | None = None,
    ) -> None:
        self.letterbox = Letterbox(network.arch.width)
        self.threshold = threshold
        self.verifier = verifier
        self._device = device
        self._network = network.to(device).eval()

    @torch.inference_mode()
    def detect(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (h, w) and boxes (h, w, 4) xyxy of an RGB picture (H, W, 3), both sides a multiple of 32."""
        scores, boxes = self._network(network_input(torch.from_numpy(picture[None]).to(self._device)))
        return scores[0].cpu().numpy(), boxes[0].cpu().numpy()


class TorchVerifier:
    """A verifier of a checkpoint; see Verifier."""

    def __init__(self, network: BoxVerifier, device: torch.device, threshold: float = 0.3) -> None:
        self.height, self.width = network.arch.height, network.arch.width
        self.threshold = threshold
        self._device = device
        self._network = network.to(device).eval()

    @torch.inference_mode()
    def verify(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,) in 0–1 and places (N, 4) of RGB crops (N, H, W, 3)."""
        scores, places = self._network(network_input(torch.from_numpy(crops).to(self._device)))
        return scores.cpu().numpy(), places.cpu().numpy()
