"""Looks through PoseTrack18 files before they are scored and tells all that is wrong, not only the first thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vipnas_cli.data.checks.problems import Problem, far_outside, finite_numbers
from vipnas_cli.data.files.coco import inside, read_json, whole
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.files.posetrack import numbered_as, sequence_files, sequence_name
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError
from vipnas_cli.pose.skeletons import POSETRACK18_FILE

Rows = Sequence[Mapping[str, Any]]
# poseval packs track ids into four digits.
TRACK_IDS = 10000
EARS = ("left_ear", "right_ear")


# Sequences of the validation split in the two public releases of the labels; counts of the second differ a little.
RELEASES = {"PoseTrack18 v0.2": range(74, 75), "PoseTrack18 v0.45": range(165, 176)}


def label_release(sequences: int, split: str) -> str:
    """The release of PoseTrack18 that has so many labelled sequences in `split`; published numbers belong to one."""
    if split == "val":
        for name, counts in RELEASES.items():
            if sequences in counts:
                return name
    return "no release of PoseTrack18 has so many sequences"


def truth_problems(path: Path, images: Path | None = None) -> list[Problem]:
    """What is wrong with the labels in a file or folder; with `images`, the data folder, also with the pictures."""
    found: list[Problem] = []
    for file in sequence_files(path):
        document, problems = _document(file)
        found += problems
        if document is None:
            continue
        problems = _image_problems(file, document, labels=True)
        if images is not None and not problems:
            problems = _picture_problems(file, document["images"], images)
        found += problems + _people_problems(file, document, labels=True)
    return found


def prediction_problems(path: Path, truth: Path) -> list[Problem]:
    """What is wrong with predictions for the labels `truth`; both are a file or a folder of one file per sequence."""
    labels = {sequence_name(file): file for file in sequence_files(truth)}
    files = {sequence_name(file): file for file in sequence_files(path)}
    if path.is_file() and len(labels) == 1:
        files = {next(iter(labels)): path}
    found = [Problem(path, name, "no predictions for this sequence") for name in labels if name not in files]
    found += [Problem(files[name], "", "no labels for this sequence", False) for name in files if name not in labels]
    for name, file in files.items():
        if name in labels:
            found += _one_prediction(file, labels[name])
    return found


def _one_prediction(file: Path, labels: Path) -> list[Problem]:
    document, found = _document(file)
    wanted, _ = _document(labels)
    if document is None or wanted is None:
        return found
    expected = [image.get("id") for image in wanted["images"]]
    document = numbered_as(document, expected)
    found += _image_problems(file, document, labels=False)
    found += _people_problems(file, document, labels=False)
    ids = [image.get("id") for image in document["images"]]
    have, need = Counter(map(str, ids)), Counter(map(str, expected))
    found += [Problem(file, f"image {image}", "missing frame: the labels list it") for image in need - have]
    found += [Problem(file, f"image {image}", "the labels lack this frame") for image in have - need]
    if ids != expected and have == need:
        found.append(Problem(file, "images", "not in the order of the labels"))
    people = document["annotations"]
    silent = sum(1 for row in people if not row.get("scores"))
    if silent:
        found.append(Problem(file, "annotations", f"{silent} of {len(people)} have no scores: they rank last", False))
    return found


def _document(file: Path) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The content if it has the parts of a PoseTrack18 file, else what it lacks."""
    try:
        content = read_json(file)
    except DataError as error:
        return None, [Problem(file, "", error.what.removeprefix(f"{file} "))]
    if not isinstance(content, dict):
        return None, [Problem(file, "", "no PoseTrack18 document")]
    for part in ("images", "annotations", "categories"):
        rows = content.get(part)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return None, [Problem(file, part, "this list is missing")]
    names = content["categories"][0].get("keypoints") if len(content["categories"]) == 1 else None
    if not isinstance(names, list):
        return None, [Problem(file, "categories", "one category with the names of the keypoints is needed")]
    lacking = [name for name in POSETRACK18_FILE if name not in EARS and name not in names]
    return (None if lacking else content), [Problem(file, "categories", f"no keypoint {name!r}") for name in lacking]


def _image_problems(file: Path, document: dict[str, Any], labels: bool) -> list[Problem]:
    found = [] if document["images"] else [Problem(file, "images", "no frames")]
    counts = Counter(str(image.get("id")) for image in document["images"])
    found += [Problem(file, f"image {image}", f"listed {count} times") for image, count in counts.items() if count > 1]
    for image in document["images"]:
        entry = f"image {brief(image.get('id'))}"
        if not whole(image.get("id")):
            found.append(Problem(file, entry, "no whole number as id"))
        if labels:
            found += [Problem(file, entry, what) for what in _picture_faults(file, image)]
    return found


def _picture_faults(file: Path, image: Mapping[str, Any]) -> list[str]:
    faults = []
    name = image.get("file_name")
    if not isinstance(name, str):
        faults.append("no file name")
    else:
        try:
            inside(file.parent, name)
        except DataError as error:
            faults.append(error.what)
    for side in ("width", "height"):
        value = image.get(side, 1)
        if not whole(value) or value < 1:
            faults.append(f"{side} is {brief(value)}")
    if not _polygons(image.get("ignore_regions_x", []), image.get("ignore_regions_y", [])):
        faults.append("ignore regions that are no polygons")
    return faults


def _polygons(xs: object, ys: object) -> bool:
    """Whether two lists hold the coordinates of polygons."""
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        return False
    lengths = [len(x) if isinstance(x, list) else 0 for x in xs]
    pairs = zip(xs, ys, lengths, strict=True)
    return all(count >= 3 and finite_numbers(x, count) and finite_numbers(y, count) for x, y, count in pairs)


def _people_problems(file: Path, document: dict[str, Any], labels: bool) -> list[Problem]:
    keypoints = len(document["categories"][0]["keypoints"])
    # Ids may be anything in a file that is not yet known to be good.
    sizes = {brief(image.get("id")): (image.get("width"), image.get("height")) for image in document["images"]}
    found: list[Problem] = []
    tracks: Counter[tuple[Any, Any]] = Counter()
    ids = Counter(str(row["id"]) for row in document["annotations"] if "id" in row)
    found += [Problem(file, f"annotation {one}", f"this id occurs {n} times", False) for one, n in ids.items() if n > 1]
    for row in document["annotations"]:
        image = brief(row.get("image_id"))
        entry = f"annotation {brief(row.get('id'))} (image {image})"
        if image not in sizes:
            found.append(Problem(file, entry, "the file does not list this image"))
        tracks[image, brief(row.get("track_id"))] += 1
        found += [Problem(file, entry, what) for what in _person_faults(row, keypoints)]
        found += [Problem(file, entry, what) for what in (_head_faults(row) if labels else [])]
        found += [Problem(file, entry, what, False) for what in _oddities(row, sizes.get(image, (None, None)), labels)]
    twice = [(image, track) for (image, track), count in tracks.items() if count > 1]
    return found + [Problem(file, f"image {image}", f"track id {track} occurs twice") for image, track in twice]


def _person_faults(row: Mapping[str, Any], keypoints: int) -> list[str]:
    """What makes one person impossible to score."""
    faults = []
    if not whole(row.get("track_id")):
        faults.append(f"no valid track id: {brief(row.get('track_id'))}")
    if not finite_numbers(row.get("keypoints"), 3 * keypoints):
        faults.append(f"{_count(row.get('keypoints'))} keypoint values, expected {3 * keypoints} finite ones")
    if row.get("scores") and not finite_numbers(row["scores"], keypoints):
        faults.append(f"{_count(row['scores'])} scores, expected {keypoints} finite ones")
    if "bbox" in row and not finite_numbers(row["bbox"], 4):
        faults.append(f"{brief(row['bbox'])} is no box")
    return faults


def _head_faults(row: Mapping[str, Any]) -> list[str]:
    head = row.get("bbox_head")
    if head is None:
        return ["no head box, by which distances are measured"]
    if not finite_numbers(head, 4) or not any(head[2:]):
        return [f"the head box {brief(head)} has no size"]
    return []


def _oddities(row: Mapping[str, Any], size: tuple[Any, Any], labels: bool) -> list[str]:
    """What can be scored but is probably not meant."""
    odd = []
    track = row.get("track_id")
    if isinstance(track, int) and not 0 <= track < TRACK_IDS:
        odd.append(f"track id {track} is not between 0 and {TRACK_IDS - 1}, as poseval needs it")
    if finite_numbers(row.get("bbox"), 4) and min(row["bbox"][2:]) <= 0:
        odd.append(f"the box {row['bbox']} has no size")
    values = row.get("keypoints")
    if labels and isinstance(values, list) and finite_numbers(values, len(values)):
        points = [
            (x, y) for x, y, flag in zip(values[0::3], values[1::3], values[2::3], strict=False) if x or y or flag
        ]
        if far_outside(points, *size):
            odd.append(f"keypoints far outside the picture of {size[0]}×{size[1]}")
    return odd


def _picture_problems(file: Path, images: Rows, folder: Path) -> list[Problem]:
    """Pictures that do not exist, and a first picture of another size than stated: the others will be like it."""
    found = []
    for image in images:
        name = image.get("file_name")
        if isinstance(name, str) and not (folder / name).is_file():
            found.append(Problem(file, f"image {brief(image.get('id'))}", f"{folder / name} does not exist"))
    if found or not images:
        return found
    stated = (images[0].get("width"), images[0].get("height"))
    height, width = read_image(folder / images[0]["file_name"]).shape[:2]
    if None not in stated and stated != (width, height):
        what = f"the picture has {width}×{height} pixels, the labels say {stated[0]}×{stated[1]}"
        found.append(Problem(file, f"image {images[0].get('id')}", what))
    return found


def _count(values: object) -> int:
    return len(values) if isinstance(values, list) else 0
