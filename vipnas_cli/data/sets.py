"""Small labelled sets of synthetic people in the formats of COCO and PoseTrack18, for machines without real data.

Shapes: P people, K = 17 COCO keypoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.files import make_parent, write_bytes, write_json
from vipnas_cli.pose import COCO17
from vipnas_cli.pose.conversion import head_ends
from vipnas_cli.pose.skeletons import POSETRACK18_FILE
from vipnas_cli.synthetic import ClipOptions, SyntheticFrame, render_clip, render_still

# Side of a square head box in lengths of the head, as measured on labels of PoseTrack.
HEAD_BOX = 1.01
JPEG_QUALITY = 95
_FIRST_VIDEO = 900001


@dataclass(frozen=True)
class SetSize:
    """How much a set holds: `stills` for COCO, `frames` of each sequence for PoseTrack, and the pictures' size."""

    stills: int = 40
    frames: int = 32
    height: int = 240
    width: int = 320

    @property
    def clips(self) -> tuple[ClipOptions, ...]:
        """Two people who pass each other, one who does sports, whose limbs move far from frame to frame, and three who
        pass each other."""
        passing = ClipOptions(self.height, self.width, self.frames, people=2)
        apart = replace(passing, crossing=False, occluder=False)
        return (
            passing,
            replace(apart, people=1, rate=16.0, motions=("jumping_jack",)),
            replace(passing, people=3, motions=("wave", "squat", "kick")),
        )


def write_synthetic_coco(
    folder: Path, generator: np.random.Generator, size: SetSize = SetSize(), on_image: Callable[[], None] = lambda: None
) -> Path:
    """Writes images and annotations/synthetic.json in COCO's layout to `folder`; returns the annotation file."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, size.stills + 1):
        frame = render_still(generator, size.height, size.width)
        name = f"{number:06d}.jpg"
        _write_picture(folder / "images" / name, frame.image)
        images.append({"id": number, "file_name": name, "height": size.height, "width": size.width})
        for row in range(len(frame.ids)):
            person = _coco_person(frame, row)
            annotations.append({"id": len(annotations) + 1, "image_id": number, **person})
        on_image()
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.keypoints)}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    return _write_json(folder / "annotations" / "synthetic.json", document)


def write_synthetic_posetrack(
    folder: Path, generator: np.random.Generator, size: SetSize = SetSize(), on_image: Callable[[], None] = lambda: None
) -> Path:
    """Writes images and annotations/val in PoseTrack18's layout to `folder`; returns the folder of the labels."""
    labels = folder / "annotations" / "val"
    for number, options in enumerate(size.clips):
        video = _FIRST_VIDEO + number
        name = f"{video:06d}_synthetic"
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index, frame in enumerate(render_clip(generator, options)):
            image = _posetrack_image(video, index, options)
            picture = f"images/val/{name}/{index:06d}.jpg"
            _write_picture(folder / picture, frame.image)
            images.append({**image, "file_name": picture})
            people = [_posetrack_person(frame, row) for row in range(len(frame.ids))]
            annotations += [
                {"image_id": image["id"], "id": 100 * image["id"] + person["track_id"], **person} for person in people
            ]
            on_image()
        _steady_heads(annotations)
        category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(POSETRACK18_FILE)}
        document = {"images": images, "annotations": annotations, "categories": [category]}
        _write_json(labels / f"{name}.json", document)
    return labels


def _coco_person(frame: SyntheticFrame, row: int) -> dict[str, Any]:
    seen = frame.visibility[row]
    triples = np.concatenate([frame.points_frame[row], seen[:, None]], 1) * (seen > 0)[:, None]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": _xywh(frame.boxes_frame[row]),
        "area": float(np.count_nonzero(frame.owners == row + 1)),
        "num_keypoints": int(np.count_nonzero(seen)),
        "keypoints": _rounded(triples),
    }


def _posetrack_image(video: int, index: int, options: ClipOptions) -> dict[str, Any]:
    """The entry of a frame; ids follow PoseTrack: 1, six digits of the video, four of the frame."""
    identity = 10**10 + 10**4 * video + index
    facts = {"id": identity, "frame_id": identity, "vid_id": f"{video:06d}", "nframes": options.frames}
    return {**facts, "is_labeled": True, "height": options.height, "width": options.width}


def _posetrack_person(frame: SyntheticFrame, row: int) -> dict[str, Any]:
    points, seen = frame.points_frame[row].astype(np.float64), frame.visibility[row] > 0
    bottom, top = (ends[0] for ends in head_ends(points[None], np.ones((1, len(points)))))
    height, width = frame.image.shape[:2]
    triples = np.zeros((len(POSETRACK18_FILE), 3))
    for place, name in enumerate(POSETRACK18_FILE):
        if name in COCO17.keypoints:
            keypoint = COCO17.index(name)
            point, given = points[keypoint], bool(seen[keypoint])
        else:
            point = bottom if name == "head_bottom" else top
            given = bool((point >= 0).all() and (point <= (width - 1, height - 1)).all())
        # PoseTrack never labels ears.
        if given and "ear" not in name:
            triples[place] = (*point, 1.0)
    side = max(HEAD_BOX * float(np.linalg.norm(top - bottom)), 1.0)
    corner = (top + bottom) / 2 - side / 2
    return {
        "track_id": int(frame.ids[row]),
        "category_id": 1,
        "iscrowd": 0,
        "bbox": _xywh(frame.boxes_frame[row]),
        "bbox_head": _rounded(np.array([*corner, side, side])),
        "keypoints": _rounded(triples),
        "scores": [],
    }


def _steady_heads(people: Sequence[dict[str, Any]]) -> None:
    """Gives each person one head size, in place: a bowed head is foreshortened but not smaller."""
    sides: dict[int, list[float]] = {}
    for person in people:
        sides.setdefault(person["track_id"], []).append(person["bbox_head"][2])
    for person in people:
        x, y, old, _ = person["bbox_head"]
        side = float(np.median(sides[person["track_id"]]))
        person["bbox_head"] = _rounded(np.array([x + (old - side) / 2, y + (old - side) / 2, side, side]))


def _xywh(box: NDArray[np.float32]) -> list[float]:
    return _rounded(np.concatenate([box[:2], box[2:] - box[:2]]))


def _rounded(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 3) for value in values.reshape(-1)]


def _write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    make_parent(path)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    write_bytes(path, data.tobytes())


def _write_json(path: Path, document: dict[str, Any]) -> Path:
    make_parent(path)
    write_json(path, document, indent=None)
    return path
