"""Reads COCO keypoint files, `.json` or `.json.gz`."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.people_labels import LabelledPerson, person_from_coco, reliability_of
from vipnas_cli.errors import DataError


def read_json(path: Path) -> Any:
    """The content of a `.json` or `.json.gz` file; DataError if it cannot be read."""
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the path") from None
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is not a readable JSON file: {error}", "check the file") from error


def inside(folder: Path, name: str) -> Path:
    """The file `name` below `folder`; DataError if the name leads out of it."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise DataError(f"file name {name!r} leads out of {folder}", "use names relative to the image folder")
    return folder / pure


def annotation_file(folder: Path) -> Path:
    """The one annotation file in `folder`/annotations; DataError if there is none or more than one."""
    found = sorted((folder / "annotations").glob("*.json*"))
    if len(found) != 1:
        raise DataError(
            f"{folder / 'annotations'} holds {len(found)} annotation files, expected one",
            "name the file instead of the folder",
        )
    return found[0]


def picture_file(annotations: Path, name: str) -> Path:
    """The image `name` of an annotation file; DataError if it does not exist.

    It lies in `images` beside the folder of the annotations, or, as COCO's own archives unpack, in a folder named
    like the last word of the annotation file (`person_keypoints_val2017.json`: `val2017`), there or in `images`.
    """
    for folder in _picture_folders(annotations):
        path = inside(folder, name)
        if path.is_file():
            return path
    missing = _picture_folders(annotations)[0] / name
    raise DataError(f"{missing} does not exist", "put the images there or restore the file")


def _picture_folders(annotations: Path) -> tuple[Path, Path, Path]:
    root = annotations.parent.parent
    archive = annotations.name.removesuffix(".gz").removesuffix(".json").split("_")[-1]
    return root / "images", root / "images" / archive, root / archive


@dataclass(frozen=True)
class LabelledImage:
    """All persons of an image for a detector: boxes (P, 4) xyxy and regions (R, 4) that are neither person nor not."""

    image: Path
    height: int
    width: int
    boxes_frame: NDArray[np.float32]
    ignored_frame: NDArray[np.float32]


def _split(path: Path) -> tuple[Any, dict[int, dict[str, Any]], Path]:
    data = read_json(path)
    if not isinstance(data, dict) or "images" not in data or "annotations" not in data:
        raise DataError(f"{path} is not a COCO annotation file", "it needs the lists `images` and `annotations`")
    folders = _picture_folders(path)
    # The first picture tells for all: looking for each of a hundred thousand would take its time.
    first = data["images"][0]["file_name"] if data["images"] else ""
    folder = next((folder for folder in folders if first and inside(folder, first).is_file()), folders[0])
    return data, {image["id"]: image for image in data["images"]}, folder


def read_people(path: Path, minimum_joints: int = 3) -> list[LabelledPerson]:
    """The persons of a COCO file that have at least `minimum_joints` usable keypoints; crowds are left out."""
    data, images, folder = _split(path)
    found = []
    for row in data["annotations"]:
        if row.get("iscrowd") or row.get("num_keypoints", 0) < minimum_joints or min(row["bbox"][2:]) <= 1:
            continue
        image = inside(folder, images[row["image_id"]]["file_name"])
        found.append(person_from_coco(image, row["bbox"], row["keypoints"], reliability_of(row)))
    return found


def read_images(path: Path) -> list[LabelledImage]:
    """The images of a COCO file with all person boxes, for a detector."""
    data, images, folder = _split(path)
    boxes: dict[int, list[list[float]]] = {identity: [] for identity in images}
    ignored: dict[int, list[list[float]]] = {identity: [] for identity in images}
    for row in data["annotations"]:
        x, y, w, h = row["bbox"]
        (ignored if row.get("iscrowd") else boxes)[row["image_id"]].append([x, y, x + w, y + h])
    return [
        LabelledImage(
            inside(folder, image["file_name"]),
            image["height"],
            image["width"],
            np.asarray(boxes[identity], np.float32).reshape(-1, 4),
            np.asarray(ignored[identity], np.float32).reshape(-1, 4),
        )
        for identity, image in images.items()
    ]
