"""8-bit networks: calibrated on people, judged on other people, and refused where they lose.

Quantised are convolutions with what follows them, per channel, activations as unsigned bytes; the last layer and the
softmax stay as they are. Signed activations, and 1×1 convolutions alone, measured slower and worse.
Shapes: N people, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from vipnas_cli.data.files.coco import read_people
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.errors import DataError, WeightsError
from vipnas_cli.files import scratch_folder
from vipnas_cli.inference.sessions import RuntimeOptions, open_session
from vipnas_cli.metrics import limb_pck, limbs_of
from vipnas_cli.pose import COCO17, CropTransform, HeatmapCodec
from vipnas_cli.spec import Plan
from vipnas_cli.timing import in_turn_ms

LIMBS = limbs_of(COCO17)
CALIBRATION, HELD_OUT = 64, 200
FEWEST_LIMBS = 6
WORST_LOSS = 1.0
_QUANTISED = ("Conv", "Clip", "Add")
_REPEATS = 25
# A follower sees where people were a moment ago: about this share of the crop away.
_MOVED = 0.02


@dataclass(frozen=True)
class Int8Figures:
    """PCK@0.1 of the limbs of `people` who were not calibrated on, and processor time of one crop."""

    pck_fp32: float
    pck_int8: float
    ms_fp32: float
    ms_int8: float
    people: int

    def check(self, name: str) -> None:
        """WeightsError with the figures if the quantised network is slower, or more than a point worse."""
        if self.pck_fp32 - self.pck_int8 <= WORST_LOSS and self.ms_int8 < self.ms_fp32:
            return
        raise WeightsError(
            f"{name} was not written, int8 loses: PCK@0.1 {self.pck_int8:.1f} after {self.pck_fp32:.1f} on "
            f"{self.people} people, {self.ms_int8:.1f} ms after {self.ms_fp32:.1f} ms",
            "export without --int8",
        )


@dataclass(frozen=True)
class Crops:
    """Network inputs of N people, their points_crop (N, K, 2) and which of these are labelled (N, K)."""

    inputs: Mapping[str, NDArray[Any]]
    points_crop: NDArray[np.float32]
    labelled: NDArray[np.bool_]

    def one(self, row: int) -> dict[str, NDArray[Any]]:
        """The inputs of one person."""
        return {name: array[row : row + 1] for name, array in self.inputs.items()}


def calibration_people(data: Path) -> tuple[LabelledPerson, ...]:
    """People with labelled limbs from a COCO file, or from those in or below a folder, in a fixed random order.

    Files with `val` in their names are preferred; DataError if there are too few people.
    """
    patterns = ("annotations/*.json*", "*/annotations/*.json*", "*/*/annotations/*.json*")
    files = [data] if data.is_file() else sorted(path for pattern in patterns for path in data.glob(pattern))
    files = [path for path in files if "val" in path.name] or files
    people = [person for path in files for person in read_people(path, FEWEST_LIMBS)]
    found = [person for person in people if (person.weights[LIMBS] == 1).sum() >= FEWEST_LIMBS]
    if len(found) < 2 * CALIBRATION:
        raise DataError(
            f"{data} holds {len(found)} people with labelled limbs, int8 needs {2 * CALIBRATION}",
            "name a COCO keypoint file, or a folder with annotations/ and images/",
        )
    order = np.random.default_rng(0).permutation(len(found))
    return tuple(found[row] for row in order[: CALIBRATION + HELD_OUT])


def crops_of(people: Sequence[LabelledPerson], plan: Plan) -> Crops:
    """What a network gets of people in their labelled boxes; followers get heatmaps of where people nearly are."""
    arch = plan.arch
    transforms = [CropTransform.from_box(person.box_frame, arch.height, arch.width) for person in people]
    pairs = list(zip(transforms, people, strict=True))
    points = np.stack([transform.to_crop(person.points_frame) for transform, person in pairs])
    labelled = np.stack([person.weights == 1 for person in people])
    inputs: dict[str, NDArray[Any]] = {"images": np.stack([t.warp(read_image(person.image)) for t, person in pairs])}
    if plan.fusion.operation != "none":
        moved = points + np.random.default_rng(0).normal(0, _MOVED * arch.height, points.shape).astype(np.float32)
        seen = labelled[..., None, None]
        inputs["previous_heatmaps"] = HeatmapCodec(arch.height, arch.width).encode(moved) * seen
    return Crops(inputs, points, labelled)


def to_int8(data: bytes, plan: Plan, people: Sequence[LabelledPerson], name: str) -> tuple[bytes, Int8Figures]:
    """An fp32 network as an 8-bit one, and what it gains and loses; WeightsError if it loses."""
    small = quantised(data, crops_of(people[:CALIBRATION], plan))
    held_out = crops_of(people[CALIBRATION:], plan)
    sessions = [open_session(network, name, RuntimeOptions(1, "cpu")) for network in (data, small)]
    codec = HeatmapCodec(plan.arch.height, plan.arch.width)
    before, after = (_pck(session, held_out, codec) for session in sessions)
    one = held_out.one(0)
    calls = [partial(session.run, ["heatmaps"], one) for session in sessions]
    slow, fast = map(fmean, in_turn_ms(calls, _REPEATS, clock=time.process_time_ns))
    figures = Int8Figures(before, after, slow, fast, len(held_out.points_crop))
    figures.check(name)
    return small, figures


def _pck(session: Any, crops: Crops, codec: HeatmapCodec) -> float:
    rows = range(len(crops.points_crop))
    heatmaps = np.concatenate([session.run(["heatmaps"], crops.one(row))[0] for row in rows])
    return float(limb_pck(crops.points_crop, codec.decode(heatmaps)[0], crops.labelled, COCO17, (0.1,))[0])


def quantised(data: bytes, crops: Crops) -> bytes:
    """An fp32 network as an 8-bit one, its ranges those that the crops need."""
    # Both are needed for quantising only, and slow to import.
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The crops, one at a time."""

        def __init__(self) -> None:
            self.rows = iter(range(len(crops.points_crop)))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            """The inputs of the next person."""
            row = next(self.rows, None)
            return None if row is None else crops.one(row)

    # The quantiser warns on the root logger of what was done here already.
    logging.disable(logging.WARNING)
    try:
        with scratch_folder() as folder:
            source, prepared, target = (folder / f"{step}.onnx" for step in ("source", "prepared", "target"))
            source.write_bytes(data)
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(target),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(_QUANTISED),
                nodes_to_exclude=_last_layers(onnx.load(str(prepared))),
            )
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


def _last_layers(model: Any) -> list[str]:
    """Names of the final convolution and of what decodes its heatmaps, which stay as they are."""
    return [node.name for node in model.graph.node if "/final/" in node.name or "/decoder/" in node.name]
