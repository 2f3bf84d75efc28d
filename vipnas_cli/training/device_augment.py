"""Batches whose crops are cut and varied on the network's device, from images that all lie there.

The same step gives the same people, transforms and degradations as `StillBatches` draws; only the pixels are computed
elsewhere and differ by rounding.

Shapes: B batch, H, W crop pixels, N bytes of all images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vipnas_cli.data.augment import Degradation, crop_labels, draw_degradation, draw_transform
from vipnas_cli.distributed import own_rows
from vipnas_cli.pose import CropTransform
from vipnas_cli.pose.geometry import SHRINK_BELOW
from vipnas_cli.training.batches import Batch, StillBatches, stacked
from vipnas_cli.training.data import StillSource

Floats = NDArray[np.float32]
# Images may take this share of the device's free memory; the network needs the rest.
LARGEST_SHARE = 0.5


@dataclass(frozen=True)
class ResidentImages:
    """RGB images one after the other in `data` (N,) uint8, by path: first byte, height and width."""

    data: Tensor
    places: dict[Path, tuple[int, int, int]]

    @staticmethod
    def of(source: StillSource, device: torch.device) -> ResidentImages:
        """All images of a source, copied to the device."""
        places, size = {}, 0
        paths = sorted({person.image for people, _ in source.sets for person in people})
        for path in paths:
            height, width = source.images[path].shape[:2]
            places[path] = (size, height, width)
            size += height * width * 3
        data = torch.empty(size, dtype=torch.uint8, device=device)
        for path in paths:
            image = torch.from_numpy(np.array(source.images[path])).flatten()
            data[places[path][0] : places[path][0] + len(image)] = image.to(device)
        return ResidentImages(data, places)

    def crops(self, paths: Sequence[Path], transforms: Sequence[CropTransform]) -> Tensor:
        """Crops (B, H, W, 3) uint8, one transform each, all to the same size; black outside the image.

        Sampling is bilinear; crops that shrink their image much are averaged over a grid of samples per pixel, where
        `CropTransform.warp` averages over areas.
        """
        height, width = transforms[0].height, transforms[0].width
        result = torch.empty(len(paths), height, width, 3, dtype=torch.uint8, device=self.data.device)
        finer = [round(1 / one.scale) if one.scale < SHRINK_BELOW else 1 for one in transforms]
        for factor in set(finer):
            rows = [row for row, own in enumerate(finer) if own == factor]
            places = [self.places[paths[row]] for row in rows]
            result[rows] = self._sampled(places, [transforms[row] for row in rows], factor)
        return result

    def _sampled(
        self, places: Sequence[tuple[int, int, int]], transforms: Sequence[CropTransform], finer: int
    ) -> Tensor:
        """Crops (B, H, W, 3) uint8, each pixel the mean of `finer` × `finer` samples."""
        device = self.data.device
        inverse = torch.from_numpy(np.stack([one.inverse for one in transforms]).astype(np.float32)).to(device)
        y, x = torch.meshgrid(
            _middles(transforms[0].height, finer, device), _middles(transforms[0].width, finer, device), indexing="ij"
        )
        points = torch.stack([x, y], -1) @ inverse[:, None, :, :2].transpose(2, 3) + inverse[:, None, None, :, 2]
        first, heights, widths = torch.tensor(places, device=device).T[:, :, None, None]
        low = points.floor()
        part = points - low
        total = torch.zeros(*points.shape[:3], 3, device=device)
        for right in (0, 1):
            for below in (0, 1):
                column, row = low[..., 0].long() + right, low[..., 1].long() + below
                inside = (column >= 0) & (column < widths) & (row >= 0) & (row < heights)
                start = (first + (row * widths + column) * 3).where(inside, 0)
                across = part[..., 0] if right else 1 - part[..., 0]
                down = part[..., 1] if below else 1 - part[..., 1]
                values = self.data[start[..., None] + torch.arange(3, device=device)]
                total += values * (across * down * inside)[..., None]
        if finer > 1:
            total = F.avg_pool2d(total.permute(0, 3, 1, 2), finer).permute(0, 2, 3, 1)
        return total.round().to(torch.uint8)


def _middles(size: int, finer: int, device: torch.device) -> Tensor:
    """Where `finer` samples of each of `size` pixels lie."""
    return (torch.arange(size * finer, device=device, dtype=torch.float32) + 0.5) / finer - 0.5


def degraded_crops(crops: Tensor, degradations: Sequence[Degradation]) -> Tensor:
    """Crops (B, H, W, 3) uint8, degraded one by one."""
    crops = crops.clone()
    for row, degradation in enumerate(degradations):
        if degradation.shrink is not None or degradation.smear is not None:
            crops[row] = _blurred(crops[row], degradation)
    same = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    tables = stacked([same if degradation.table is None else degradation.table for degradation in degradations]).to(
        crops.device
    )
    crops = tables.gather(1, crops.flatten(1, 2).long()).view_as(crops)
    grey = torch.tensor([degradation.grey for degradation in degradations], device=crops.device)[:, None, None, None]
    crops = torch.where(grey, crops.float().mean(3, keepdim=True).to(torch.uint8), crops)
    for row, degradation in enumerate(degradations):
        if degradation.patch is not None and degradation.cover is not None:
            top, left, bottom, right = degradation.patch
            crops[row, top:bottom, left:right] = torch.from_numpy(degradation.cover).to(crops.device)
    return crops


def _blurred(crop: Tensor, degradation: Degradation) -> Tensor:
    """A crop (H, W, 3) that has lost detail or is smeared."""
    pixels = crop.permute(2, 0, 1)[:, None].float()
    height, width = crop.shape[:2]
    if degradation.shrink is not None:
        small = F.interpolate(
            pixels, (int(height * degradation.shrink), int(width * degradation.shrink)), mode="area"
        ).round()
        pixels = F.interpolate(small, (height, width), mode="bilinear")
    if degradation.smear is not None:
        kernel = torch.from_numpy(degradation.smear).to(crop.device)[None, None]
        pixels = F.conv2d(F.pad(pixels, [degradation.smear.shape[0] // 2] * 4, mode="reflect"), kernel)
    return pixels[:, 0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class DeviceStillBatches:
    """The batches of `plain` with crops made on the device."""

    plain: StillBatches
    images: ResidentImages

    def batch(self, step: int) -> Batch:
        """This process's rows of the batch of `step`, the same as those of `plain`."""
        rows = [self._drawn(np.random.default_rng((self.plain.seed, step, row))) for row in own_rows(self.size)]
        paths, transforms, degradations, points, weights = zip(*rows, strict=True)
        crops = degraded_crops(self.images.crops(paths, transforms), degradations)
        return Batch(crops, stacked(points), stacked(weights), tuple(map(str, paths)))

    @property
    def size(self) -> int:
        """Rows of all processes."""
        return self.plain.batch_size

    def _drawn(self, generator: np.random.Generator) -> tuple[Path, CropTransform, Degradation, Floats, Floats]:
        plain = self.plain
        person = plain.source.draw(generator)
        transform, flip = draw_transform(person, plain.size, plain.augmentation, generator)
        degradation = draw_degradation(plain.size, plain.augmentation, generator)
        return person.image, transform, degradation, *crop_labels(person, transform, flip)


def fastest_batches(plain: StillBatches, device: torch.device) -> StillBatches | DeviceStillBatches:
    """`plain`, or the same batches made on a GPU whose memory has room for all images.

    People before others are put together on the CPU only.
    """
    if device.type != "cuda" or plain.augmentation.bystander or plain.augmentation.cut_off:
        return plain
    needed = sum(
        plain.source.images[path].nbytes for path in {p.image for people, _ in plain.source.sets for p in people}
    )
    free, _ = torch.cuda.mem_get_info(device)
    if needed > LARGEST_SHARE * free:
        return plain
    return DeviceStillBatches(plain, ResidentImages.of(plain.source, device))
