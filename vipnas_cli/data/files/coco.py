"""Reads COCO keypoint files, `.json` or `.json.gz`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.image_names import by_labels
from vipnas_cli.data.people_labels import LARGEST_PLACE, LabelledPerson, person_from_coco, reliability_of
from vipnas_cli.documents import LARGEST_LABELS, DocumentKind, brief
from vipnas_cli.errors import DataError
from vipnas_cli.files import shown

PERSON = 1


LABELS = DocumentKind("a file of labels or results in COCO's layout", DataError, "check the file", LARGEST_LABELS)
# What a category of persons is called by those who have no COCO.
PERSON_NAMES = {"person", "people", "persons", "human", "humans", "pedestrian", "pedestrians"}
Box = tuple[float, float, float, float]


class ImageRow(TypedDict):
    """An image of a COCO file, as far as it is read."""

    id: int
    file_name: str
    width: NotRequired[int]
    height: NotRequired[int]


class PersonRow(TypedDict):
    """An annotation of a COCO or PoseTrack file, as far as it is read."""

    image_id: int
    category_id: NotRequired[int]
    track_id: NotRequired[int]
    bbox: NotRequired[Box | None]
    score: NotRequired[float]
    iscrowd: NotRequired[int | bool | None]
    num_keypoints: NotRequired[int | None]
    keypoints: NotRequired[list[float] | None]
    coco_keypoints: NotRequired[list[float]]
    reliability: NotRequired[list[float] | None]
    teacher_scores: NotRequired[list[float] | None]
    joint_source: NotRequired[str | None]
    source: NotRequired[str | None]


class CategoryRow(TypedDict):
    """A category of a COCO file, as far as it is read."""

    id: int
    name: NotRequired[str]
    keypoints: NotRequired[list[str] | None]


class Labels(TypedDict):
    """A COCO annotation file."""

    images: list[ImageRow]
    annotations: list[PersonRow]
    categories: NotRequired[list[CategoryRow] | None]


def read_json(path: Path) -> Any:
    """The content of a `.json` or `.json.gz` file; DataError if it cannot be read."""
    return LABELS.read_any(path)


def read_labels(path: Path) -> Labels:
    """A COCO annotation file whose entries have the types that they should have; DataError names the first other."""
    return LABELS.read(path, Labels)


def person_ids(categories: object, origin: Path | str) -> frozenset[int]:
    """The ids of the categories that are persons: those called so, else those with keypoints, else the only one.

    COCO's own, 1, where a file lists no categories. DataError where it lists only others.
    """
    rows = [row for row in categories if isinstance(row, dict)] if isinstance(categories, list) else []
    rows = [row for row in rows if whole(row.get("id"))]
    if not rows:
        return frozenset({PERSON})
    called = [row for row in rows if str(row.get("name")).lower() in PERSON_NAMES]
    found = called or [row for row in rows if row.get("keypoints")] or (rows if len(rows) == 1 else [])
    if not found:
        names = ", ".join(f"{row['id']} {shown(str(row.get('name')))}" for row in rows[:9])
        raise DataError(f"{shown(origin)} has no category of persons, only {names}", 'name one of them "person"')
    return frozenset(row["id"] for row in found)


def people_only(document: Mapping[str, Any], origin: Path | str) -> dict[str, Any]:
    """A COCO document whose annotations are of one category, persons; its lists have been checked before."""
    persons = person_ids(document.get("categories"), origin)
    rows = [row for row in document["annotations"] if row.get("category_id") in persons]
    if document["annotations"] and not rows:
        raise other_categories(origin, document["annotations"], persons)
    person = min(persons)
    listed = [row for row in document.get("categories") or () if row.get("id") == person] or [{"id": person}]
    return {**document, "annotations": [{**row, "category_id": person} for row in rows], "categories": listed}


def results_of_people(path: Path, truth: Mapping[str, Any], persons: Collection[int] = ()) -> Any:
    """COCO results of persons, with the category that `truth`, the outcome of people_only, has for them.

    `persons` are the categories that the labels have for persons, by default that one. Annotations, if a file of labels
    is given, count as results of score 1; their images are those of the labels as `by_labels` tells. DataError if there
    are no persons.
    """
    rows, person = read_json(path), truth["categories"][0]["id"]
    images = rows.get("images") if isinstance(rows, dict) else None
    persons = persons or {person}
    if isinstance(rows, dict) and isinstance(rows.get("annotations"), list):
        persons = person_ids(rows.get("categories"), path)
        labelled = (row for row in rows["annotations"] if isinstance(row, dict) and labelled_keypoints(row))
        rows = [{**row, "score": row.get("score", 1.0)} for row in labelled if not row.get("iscrowd")]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return rows
    found = [row for row in rows if "category_id" not in row or brief(row["category_id"]) in map(str, persons)]
    if rows and not found:
        raise other_categories(path, rows, persons)
    found = [{**row, "category_id": person} if "category_id" in row else row for row in found]
    return by_labels(path, images, found, truth.get("images"))


def other_categories(origin: Path | str, rows: Iterable[Mapping[str, Any]], persons: Iterable[int]) -> DataError:
    """The error for a file whose rows are all of other categories than persons."""
    found = ", ".join(sorted({brief(row.get("category_id")) for row in rows}))
    wanted = ", ".join(str(one) for one in sorted(persons))
    return DataError(
        f"{shown(origin)} has rows of category {found} only, but persons are category {wanted}",
        "give those of persons, or correct their category_id",
    )


def labelled_keypoints(row: Mapping[str, Any]) -> int:
    """How many keypoints of a person are labelled: as the row says, else those with a flag above 0."""
    stated = row.get("num_keypoints")
    if stated is not None:
        return int(stated) if whole(stated) else 0
    flags = (row.get("keypoints") or [])[2::3]
    return sum(1 for flag in flags if isinstance(flag, int | float) and flag > 0)


def whole(value: object) -> bool:
    """Whether a value from a file is a whole number that an array can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def inside(folder: Path, name: str) -> Path:
    """The file `name` below `folder`; DataError if the name leads out of it."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise DataError(f"file name {shown(name)!r} leads out of {folder}", "use names relative to the image folder")
    return folder / pure


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


def folder_above(path: Path, steps: int) -> Path:
    """The folder so many steps above a path, also above a relative one that names fewer."""
    if ".." in path.parts or len(path.parents) < steps:
        # Not the file itself: a link to labels that lie elsewhere stands where it is.
        path = path.parent.resolve() / path.name
    for _ in range(steps):
        path = path.parent
    return path


def _picture_folders(annotations: Path) -> tuple[Path, Path, Path]:
    root = folder_above(annotations, 2)
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


def _split(path: Path) -> tuple[list[PersonRow], dict[int, ImageRow], Path]:
    """The persons, the images by id, and the folder of the pictures."""
    data = read_labels(path)
    folders, images = _picture_folders(path), {image["id"]: image for image in data["images"]}
    # The first picture tells for all: looking for each of a hundred thousand would take its time.
    first = data["images"][0]["file_name"] if data["images"] else ""
    folder = next((folder for folder in folders if first and inside(folder, first).is_file()), folders[0])
    listed = data.get("categories")
    persons = person_ids(listed, path)
    rows = [row for row in data["annotations"] if not listed or row.get("category_id") in persons]
    strange = next((row["image_id"] for row in rows if row["image_id"] not in images), None)
    if strange is not None:
        raise DataError(f"{shown(path)} labels the image {strange}, which it does not list", "correct the file")
    return rows, images, folder


def read_people(path: Path, minimum_joints: int = 3) -> list[LabelledPerson]:
    """The persons of a COCO file that have at least `minimum_joints` usable keypoints; crowds are left out."""
    rows, images, folder = _split(path)
    found = []
    for row in rows:
        box = row.get("bbox")
        if row.get("iscrowd") or labelled_keypoints(row) < minimum_joints or box is None or min(box[2:]) <= 1:
            continue
        image = inside(folder, images[row["image_id"]]["file_name"])
        with LABELS.told(path):
            found.append(person_from_coco(image, box, row.get("keypoints") or (), reliability_of(row)))
    return found


def read_images(path: Path) -> list[LabelledImage]:
    """The images of a COCO file with all person boxes, for a detector."""
    rows, images, folder = _split(path)
    boxes: dict[int, list[list[float]]] = {identity: [] for identity in images}
    ignored: dict[int, list[list[float]]] = {identity: [] for identity in images}
    for row in rows:
        box = row.get("bbox")
        if box is None:
            raise DataError(f"{shown(path)} labels a person without a box in image {row['image_id']}", "add its bbox")
        if not max(map(abs, box)) <= LARGEST_PLACE:
            raise DataError(f"{shown(path)} has a box {brief(box)}, which is in no picture", "correct it")
        x, y, w, h = box
        (ignored if row.get("iscrowd") else boxes)[row["image_id"]].append([x, y, x + w, y + h])
    with LABELS.told(path):
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
