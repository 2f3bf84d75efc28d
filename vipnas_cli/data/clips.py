"""Clips for training: consecutive frames of one labelled person, from PoseTrack18-style files."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from vipnas_cli.data.coco import inside, read_json
from vipnas_cli.data.people_labels import LabelledPerson, person_from_coco
from vipnas_cli.errors import DataError

NAME_START = 24


@dataclass(frozen=True)
class PersonClip:
    """One person through consecutive frames of one sequence."""

    sequence: str
    frames: tuple[LabelledPerson, ...]


def read_clips(root: Path, split: str, shortest: int = 4) -> list[PersonClip]:
    """Clips of at least `shortest` frames from `root`/annotations/`split`; joints under `coco_keypoints`."""
    found: list[PersonClip] = []
    files = sorted((root / "annotations" / split).glob("*.json*"))
    if not files:
        raise DataError(f"{root / 'annotations' / split} holds no annotation files", "check the folder")
    for path in files:
        found += [clip for clip in _clips(root, path) if len(clip.frames) >= shortest]
    return found


def is_held_back(sequence: str, share: float) -> bool:
    """Whether a sequence belongs to the `share` (0 to 1) of clips kept out of training for searches to score on.

    Decided by the beginning of its name alone, because clips cut from one video mostly begin alike and belong together.
    """
    return zlib.crc32(sequence[:NAME_START].encode()) % 1000 < round(1000 * share)


def _clips(root: Path, path: Path) -> list[PersonClip]:
    data = read_json(path)
    rows = {(row["track_id"], row["image_id"]): row for row in data["annotations"]}
    name, clips = path.name.split(".json")[0], []
    for track in sorted({track for track, _ in rows}):
        frames: list[LabelledPerson] = []
        for image in data["images"]:
            row = rows.get((track, image["id"]))
            if row is not None and "coco_keypoints" in row:
                frames.append(person_from_coco(inside(root, image["file_name"]), row["bbox"], row["coco_keypoints"]))
            elif frames:
                clips.append(PersonClip(name, tuple(frames)))
                frames = []
        if frames:
            clips.append(PersonClip(name, tuple(frames)))
    return clips
