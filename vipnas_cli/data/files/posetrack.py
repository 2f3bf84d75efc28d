"""PoseTrack18 files: one JSON file per sequence, labels or predictions.

Shapes: N people of a sequence over all frames, J = 15 joints of POSETRACK15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.coco import inside, read_json, whole
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.files import make_parent, shown, write_json
from vipnas_cli.metrics.posetrack import PredictedSequence, TruthSequence
from vipnas_cli.pose import POSETRACK15
from vipnas_cli.pose.skeletons import POSETRACK18_FILE

Floats = NDArray[np.float64]

# What poseval takes for the score of a joint that has none.
NO_SCORE = -9999.0


@dataclass(frozen=True)
class LabelledSequence:
    """Labels for the evaluator, with the images (ids and names relative to the data folder) and person boxes.

    boxes_frame (N, 4) xyxy, NaN where the file has none.
    """

    image_ids: tuple[int, ...]
    image_names: tuple[str, ...]
    boxes_frame: NDArray[np.float32]
    truth: TruthSequence


@dataclass(frozen=True)
class _People:
    """The annotations of a file as arrays; `rows` are the annotations themselves."""

    rows: list[Mapping[str, Any]]
    frames: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    points_frame: Floats
    present: NDArray[np.bool_]
    scores: Floats


def read_truth(path: Path) -> tuple[LabelledSequence, ...]:
    """Labels from a file (.json, .json.gz) or from all such files of a folder, by name.

    DataError naming file and id for whatever the evaluator could not judge.
    """
    return tuple(_labelled(file) for file in sequence_files(path))


def read_predictions(path: Path, labelled: Sequence[LabelledSequence]) -> tuple[PredictedSequence, ...]:
    """Predictions for each of the labelled sequences, from a file or from the files of the same names in a folder.

    DataError naming file and id; every frame of the labels must be there, in the same order.
    """
    files = {sequence_name(file): file for file in sequence_files(path)}
    if path.is_file() and len(labelled) == 1:
        files = {labelled[0].truth.name: path}
    missing = [sequence.truth.name for sequence in labelled if sequence.truth.name not in files]
    if missing:
        raise DataError(
            f"{path} has no predictions for the sequence {missing[0]!r}",
            "Give one file per labelled sequence, named like the file of the labels.",
        )
    return tuple(_predicted(files[sequence.truth.name], sequence) for sequence in labelled)


def write_predictions(
    folder: Path, predicted: Sequence[PredictedSequence], labelled: Sequence[LabelledSequence]
) -> tuple[Path, ...]:
    """Write one file per sequence into `folder`, which other evaluators of PoseTrack18 read too.

    OutputError if a file exists or cannot be written.
    """
    return tuple(
        _write(folder / f"{guesses.name}.json", _document(guesses, labels))
        for guesses, labels in zip(predicted, labelled, strict=True)
    )


def sequence_files(path: Path) -> list[Path]:
    """The file itself, or all .json and .json.gz files of a folder by name; DataError if there are none or twins."""
    if not path.is_dir():
        return [path]
    files = sorted([*path.glob("*.json"), *path.glob("*.json.gz")])
    if not files:
        raise DataError(f"{path} has no .json or .json.gz files", "Give the folder that holds one file per sequence.")
    names = [sequence_name(file) for file in files]
    for name, file in zip(names, files, strict=True):
        if names.count(name) > 1:
            raise DataError(f"{file} exists packed and unpacked", "Keep one of the two.")
    return files


def sequence_name(path: Path) -> str:
    """What a file's sequence is called: its name without .json and .gz."""
    return path.name.removesuffix(".gz").removesuffix(".json")


def _labelled(path: Path) -> LabelledSequence:
    document = _read(path)
    images = document["images"]
    image_ids = tuple(_field(path, "an image", image, "id", int) for image in images)
    names = tuple(_field(path, f"image {brief(image['id'])}", image, "file_name", str) for image in images)
    for name in names:
        inside(path.parent, name)
    people = _people(path, document, image_ids)
    truth = TruthSequence(
        sequence_name(path),
        people.frames,
        people.track_ids,
        people.points_frame,
        people.present,
        _head_boxes(path, people.rows),
        tuple(_regions(path, image) for image in images),
    )
    return LabelledSequence(image_ids, names, _person_boxes(path, people.rows), truth)


def numbered_as(document: dict[str, Any], image_ids: Sequence[Any]) -> dict[str, Any]:
    """A file of `run`, whose images are numbers of frames, with the ids of as many labelled images in their order.

    Any other file stays as it is.
    """
    images = document["images"]
    frames = [image.get("id") for image in images]
    info = document.get("info")
    if not isinstance(info, dict) or "time_base" not in info or frames != list(range(len(image_ids))):
        return document
    rows = document["annotations"]
    known = all(whole(row.get("image_id")) and 0 <= row["image_id"] < len(frames) for row in rows)
    if not known:
        return document
    return {
        **document,
        "images": [{**image, "id": image_id} for image, image_id in zip(images, image_ids, strict=True)],
        "annotations": [{**row, "image_id": image_ids[row["image_id"]]} for row in rows],
    }


def _predicted(path: Path, labelled: LabelledSequence) -> PredictedSequence:
    document = numbered_as(_read(path), labelled.image_ids)
    image_ids = tuple(_field(path, "an image", image, "id", int) for image in document["images"])
    for position, expected in enumerate(labelled.image_ids):
        if position >= len(image_ids) or image_ids[position] != expected:
            raise DataError(
                f"{path} lacks the frame {expected} at position {position}",
                "List every image of the labels, also those without predictions, in the same order.",
            )
    if len(image_ids) > len(labelled.image_ids):
        extra = image_ids[len(labelled.image_ids)]
        raise DataError(f"{path} has the frame {extra}, which the labels lack", "List the images of the labels only.")
    people = _people(path, document, image_ids)
    return PredictedSequence(
        labelled.truth.name,
        len(image_ids),
        people.frames,
        people.track_ids,
        people.points_frame,
        people.present,
        people.scores,
    )


def _read(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path} holds no PoseTrack18 document", "Give a PoseTrack18 file.")
    for part in ("images", "annotations", "categories"):
        entries = document.get(part)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{path} has no list {part!r}", "Give a PoseTrack18 file.")
    return document


def _field(path: Path, name: str, entry: Mapping[str, Any], key: str, kind: type) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind) or (kind is int and not whole(value)):
        raise DataError(f"{name} of {shown(path)} has no valid {key!r}: {brief(value)}", "Give a PoseTrack18 file.")
    return value


def _people(path: Path, document: dict[str, Any], image_ids: Sequence[int]) -> _People:
    """The people of a file, sorted by frame; within a frame they keep the order of the file."""
    order = _joint_order(path, document["categories"])
    frame_of = {image_id: frame for frame, image_id in enumerate(image_ids)}
    if len(frame_of) != len(image_ids):
        raise DataError(f"{path} lists an image twice", "Give each image its own id.")
    rows = document["annotations"]
    for row in rows:
        if not whole(row.get("image_id")) or row["image_id"] not in frame_of:
            hint = "Give annotations for the images of the file only."
            raise DataError(f"{_name(row)} of {path} is for an image that the file does not list", hint)
    rows = sorted(rows, key=lambda row: frame_of[row["image_id"]])
    _check_tracks(path, rows)
    file_keypoints = len(document["categories"][0]["keypoints"])
    values = _numbers(path, rows, "keypoints", 3 * file_keypoints).reshape(-1, file_keypoints, 3)[:, order]
    scores = [row if row.get("scores") else {**row, "scores": [NO_SCORE] * file_keypoints} for row in rows]
    return _People(
        rows,
        np.array([frame_of[row["image_id"]] for row in rows], np.int64),
        np.array([row["track_id"] for row in rows], np.int64),
        values[..., :2],
        # The rule of poseval: a joint is absent when all three values are zero, whatever the third one means.
        (values != 0).any(-1),
        _numbers(path, scores, "scores", file_keypoints)[:, order],
    )


def _check_tracks(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    seen: set[tuple[int, int]] = set()
    for row in rows:
        track = _field(path, _name(row), row, "track_id", int)
        if (row["image_id"], track) in seen:
            raise DataError(
                f"{path} has the track id {track} twice in image {row['image_id']}",
                "Give each person of a frame another track id.",
            )
        seen.add((row["image_id"], track))


def _joint_order(path: Path, categories: list[dict[str, Any]]) -> list[int]:
    """For each joint of POSETRACK15 its place in the file."""
    names = categories[0].get("keypoints") if len(categories) == 1 else None
    if not isinstance(names, list):
        raise DataError(f"{path} needs one category with a list of keypoint names", "Give a PoseTrack18 file.")
    wanted = ["head_bottom" if name == "neck" else name for name in POSETRACK15.keypoints]
    for name in wanted:
        if name not in names:
            raise DataError(f"{path} has no keypoint {name!r} in its category", "Name all 15 joints of PoseTrack18.")
    return [names.index(name) for name in wanted]


def _name(row: Mapping[str, Any]) -> str:
    return f"annotation {brief(row.get('id'))} (image {brief(row.get('image_id'))})"


def _numbers(path: Path, rows: Sequence[Mapping[str, Any]], key: str, count: int) -> Floats:
    """The lists under `key` as an array (N, count); DataError for the first that is not `count` finite numbers."""
    numbers = np.zeros((len(rows), count))
    for position, row in enumerate(rows):
        try:
            values = np.array(row.get(key, ()), np.float64)
        except (TypeError, ValueError, OverflowError):
            values = np.zeros(0)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise DataError(
                f"{_name(row)} of {path} has {values.size} numbers under {key!r}, expected {count} finite ones",
                "Give as many as the category has keypoints: x, y and visibility of each, or one score of each.",
            )
        numbers[position] = values
    return numbers


def _person_boxes(path: Path, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
    """Person boxes (N, 4) xyxy from the xywh of the file, NaN where it has none."""
    boxes = _numbers(path, [row if "bbox" in row else {**row, "bbox": [0.0] * 4} for row in rows], "bbox", 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes[["bbox" not in row for row in rows]] = np.nan
    return boxes.astype(np.float32)


def _head_boxes(path: Path, rows: Sequence[Mapping[str, Any]]) -> Floats:
    """Head boxes (N, 4) xyxy from the xywh of the file."""
    hint = "Distances are measured in head sizes, so every labelled person needs a head box."
    for row in rows:
        if "bbox_head" not in row:
            raise DataError(f"{_name(row)} of {path} has no head box", hint)
    boxes = _numbers(path, rows, "bbox_head", 4)
    for row, box in zip(rows, boxes, strict=True):
        if not box[2:].any():
            raise DataError(f"{_name(row)} of {path} has a head box without size", hint)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _regions(path: Path, image: Mapping[str, Any]) -> tuple[Floats, ...]:
    """The polygons to ignore in a frame."""
    all_x, all_y = image.get("ignore_regions_x", []), image.get("ignore_regions_y", [])
    try:
        polygons = tuple(np.array([x, y], np.float64).T for x, y in zip(all_x, all_y, strict=True))
    except (TypeError, ValueError, OverflowError):
        polygons = (np.zeros(0),)
    if any(polygon.ndim != 2 or len(polygon) < 3 or not np.isfinite(polygon).all() for polygon in polygons):
        raise DataError(
            f"image {image['id']} of {path} has ignore regions that are no polygons",
            "Give lists of at least three x and as many y for each region.",
        )
    return polygons


def _document(predicted: PredictedSequence, labelled: LabelledSequence) -> dict[str, Any]:
    if predicted.frame_count != len(labelled.image_ids):
        raise DataError(
            f"{predicted.name!r} has {predicted.frame_count} frames, but its labels have {len(labelled.image_ids)}",
            "Give predictions and labels of the same sequences.",
        )
    names = [*POSETRACK15.keypoints]
    names[names.index("neck")] = "head_bottom"
    columns = [POSETRACK18_FILE.index(name) for name in names]
    people = len(predicted.frames)
    keypoints = np.zeros((people, len(POSETRACK18_FILE), 3))
    scores = np.zeros((people, len(POSETRACK18_FILE)))
    keypoints[:, columns, :2] = predicted.points_frame
    keypoints[:, columns, 2] = 1
    keypoints[:, columns] *= predicted.present[..., None]
    scores[:, columns] = predicted.scores
    annotations = [
        {
            "image_id": labelled.image_ids[int(frame)],
            "id": position + 1,
            "track_id": int(predicted.track_ids[position]),
            "category_id": 1,
            "keypoints": keypoints[position].ravel().tolist(),
            "scores": scores[position].tolist(),
        }
        for position, frame in enumerate(predicted.frames)
    ]
    images = [
        {"id": image_id, "frame_id": image_id, "file_name": name}
        for image_id, name in zip(labelled.image_ids, labelled.image_names, strict=True)
    ]
    category = {"supercategory": "person", "name": "person", "id": 1, "keypoints": list(POSETRACK18_FILE)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def _write(path: Path, document: dict[str, Any]) -> Path:
    if path.exists():
        raise OutputError(f"{path} exists", "Choose another folder or remove the file.")
    make_parent(path)
    write_json(path, document, indent=None)
    return path
