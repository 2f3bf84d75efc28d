"""Public networks that `vipnas import` takes: what their publishers say of them and where they offer them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MMPOSE = "https://download.openmmlab.com/mmpose"
RTMPOSE = f"{MMPOSE}/v1/projects/rtmposev1/onnx_sdk"
TOP_DOWN = f"{MMPOSE}/v1/body_2d_keypoint/topdown_heatmap/coco"
# Digits of a SHA-256 that mmpose writes into the names of its files.
PREFIX_DIGITS = 8
AS_IT_IS = "as it is"
UNZIPPED = "end2end.onnx in the archive"
EXPORTED = "exported with mmdeploy"
CONVERTED = "converted with paddle2onnx"


@dataclass(frozen=True)
class KnownNetwork:
    """A network as its publisher tells of it.

    `average_precision` is that on COCO val2017, of keypoints, or of person boxes for a detector. `gflops` are
    multiply-accumulates, None where not published. `sha256` is that of the file on offer, of archives that of the
    network inside; its first eight digits where only they are published (mmpose: in the file's name), "" for none.
    `imported` tells in what form it is imported.
    """

    name: str
    kind: Literal["pose", "detector"]
    size: str
    average_precision: float
    gflops: float | None
    licence: str
    address: str
    sha256: str
    imported: str

    def is_file(self, sha256: str) -> bool:
        """Whether a file with that SHA-256 is this network's."""
        return bool(self.sha256) and sha256.startswith(self.sha256)


def _mmpose(name: str, precision: float, gflops: float | None, file: str, imported: str) -> KnownNetwork:
    """A pose network of mmpose, whose files have the first digits of their SHA-256 before the date in their names."""
    digits = file.rpartition("_")[0][-PREFIX_DIGITS:]
    return KnownNetwork(name, "pose", "256x192", precision, gflops, "Apache-2.0", file, digits, imported)


def _rtmpose(letter: str, precision: float, gflops: float, file: str, sha256: str) -> KnownNetwork:
    name, address = f"RTMPose-{letter} (body7)", f"{RTMPOSE}/{file}"
    return KnownNetwork(name, "pose", "256x192", precision, gflops, "Apache-2.0", address, sha256, UNZIPPED)


KNOWN = (
    _mmpose(
        "S-ViPNAS-MobileNetV3, mmpose 0.x",
        70.0,
        0.76,
        f"{MMPOSE}/top_down/vipnas/vipnas_mbv3_coco_256x192-7018731a_20211122.pth",
        AS_IT_IS,
    ),
    _mmpose(
        "S-ViPNAS-Res50, mmpose 0.x",
        71.1,
        1.49,
        f"{MMPOSE}/top_down/vipnas/vipnas_res50_coco_256x192-cc43b466_20210624.pth",
        AS_IT_IS,
    ),
    _mmpose(
        "S-ViPNAS-MobileNetV3, mmpose 1.x",
        70.0,
        0.76,
        f"{TOP_DOWN}/td-hm_vipnas-mbv3_8xb64-210e_coco-256x192-e0987441_20221010.pth",
        AS_IT_IS,
    ),
    _mmpose(
        "S-ViPNAS-Res50, mmpose 1.x",
        71.1,
        1.49,
        f"{TOP_DOWN}/td-hm_vipnas-res50_8xb64-210e_coco-256x192-35d4bff9_20220917.pth",
        AS_IT_IS,
    ),
    _rtmpose(
        "t",
        65.9,
        0.36,
        "rtmpose-t_simcc-body7_pt-body7_420e-256x192-026a1439_20230504.zip",
        "a6c2f6a3896a4d51131d14d7a80a3d08b50f559af5a58a45d5b098aef510a70f",
    ),
    _rtmpose(
        "s",
        69.7,
        0.68,
        "rtmpose-s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504.zip",
        "9aeb635b83f86aea45cf45d85798f7eba1a162de8e0d721c44e54fe5eebaf47d",
    ),
    _rtmpose(
        "m",
        74.9,
        1.93,
        "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.zip",
        "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
    ),
    KnownNetwork(
        "PP-TinyPose (2022)",
        "pose",
        "256x192",
        68.3,
        0.33,
        "Apache-2.0",
        "https://bj.bcebos.com/v1/paddledet/models/keypoint/tinypose_enhance/tinypose_256x192.zip",
        "",
        CONVERTED,
    ),
    _mmpose(
        "Lite-HRNet-18",
        64.2,
        None,
        f"{MMPOSE}/top_down/litehrnet/litehrnet18_coco_256x192-6bace359_20211230.pth",
        EXPORTED,
    ),
    _mmpose(
        "ViTPose-S, simple decoder",
        73.6,
        None,
        f"{TOP_DOWN}/td-hm_ViTPose-small-simple_8xb64-210e_coco-256x192-4c101a76_20230314.pth",
        EXPORTED,
    ),
    KnownNetwork(
        "RTMDet-nano, persons",
        "detector",
        "320x320",
        40.3,
        0.31,
        "Apache-2.0",
        f"{RTMPOSE}/rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.zip",
        "8297e829ccc5590c8e2d32d5a211f322a0585fb7467eec85eb12c9525b0b95d6",
        UNZIPPED,
    ),
)


def known_network(sha256: str) -> KnownNetwork | None:
    """The network whose file has that SHA-256, if it is one of the known ones."""
    return next((network for network in KNOWN if network.is_file(sha256)), None)
