"""Clips for training: consecutive frames of one labelled person, from PoseTrack18-style files."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from vipnas_cli.data.files.coco import LABELS, PersonRow, inside, read_labels
from vipnas_cli.data.people_labels import LabelledPerson, person_from_coco, reliability_of
from vipnas_cli.errors import DataError
from vipnas_cli.pose import COCO17

NAME_START = 24


@dataclass(frozen=True)
class PersonClip:
    """One person through frames of one sequence, each `stride` frames after the one before.

    `still`: the frames show one labelled still, whose name the sequence has.
    """

    sequence: str
    frames: tuple[LabelledPerson, ...]
    stride: int = 1
    still: bool = False

    @property
    def group(self) -> str:
        """What clips have in common that err alike: their still or their video."""
        # Names of stills are mostly long and begin alike in a whole data set.
        return self.sequence if self.still else video_of(self.sequence)


def read_clips(root: Path, split: str, shortest: int = 4) -> list[PersonClip]:
    """Clips of at least `shortest` frames from `root`/annotations/`split`.

    Joints are those under `coco_keypoints`, or else PoseTrack18's own under `keypoints`: nose and limbs, which COCO has
    too; its ends of the head are left out.
    """
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
    return zlib.crc32(video_of(sequence).encode()) % 1000 < round(1000 * share)


def video_of(sequence: str) -> str:
    """What clips of one video have in common: the beginning of their names."""
    return sequence[:NAME_START]


def _clips(root: Path, path: Path) -> list[PersonClip]:
    data = read_labels(path)
    rows = {(row["track_id"], row["image_id"]): row for row in data["annotations"] if "track_id" in row}
    categories = data.get("categories")
    names = (categories[0].get("keypoints") or []) if categories else []
    name, clips = path.name.split(".json")[0], []
    for track in sorted({track for track, _ in rows}):
        frames: list[LabelledPerson] = []
        for image in data["images"]:
            row = rows.get((track, image["id"]))
            keypoints = _coco_keypoints(row, names) if row is not None else None
            box = None if row is None else row.get("bbox")
            if row is not None and keypoints is not None and box is not None:
                image_path = inside(root, image["file_name"])
                with LABELS.told(path):
                    frames.append(person_from_coco(image_path, box, keypoints, reliability_of(row)))
            elif frames:
                clips.append(PersonClip(name, tuple(frames)))
                frames = []
        if frames:
            clips.append(PersonClip(name, tuple(frames)))
    return clips


def _coco_keypoints(row: PersonRow, names: list[str]) -> list[float] | None:
    """The flat x, y, v list (51) of an annotation; None for one without keypoints."""
    if "coco_keypoints" in row:
        return row["coco_keypoints"]
    values = row.get("keypoints")
    if not values or not names:
        return None
    # Labelled is labelled there: the third number is 1 whether the joint is hidden or not.
    own = {name: values[3 * place : 3 * place + 3] for place, name in enumerate(names) if "ear" not in name}
    triples = [own.get(name, (0.0, 0.0, 0.0)) for name in COCO17.keypoints]
    return [value for x, y, flag in triples for value in (x, y, 2.0 if flag > 0 else 0.0)]
