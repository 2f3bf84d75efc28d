"""Poses as OpenPose writes them: a folder with one JSON file per frame, 25 points a person (BODY_25).

Neck and mid-hip are the midpoints of shoulders and hips, with the lower of the two scores. Feet, which are not known,
are 0, 0, 0, as OpenPose writes what it does not find.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.files import cannot_write
from vipnas_cli.folders import remove
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.folder import FolderFile

ENDING = "_keypoints.json"
_FEET = ("big_toe", "small_toe", "heel")
BODY_25 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *(f"left_{part}" for part in _FEET),
    *(f"right_{part}" for part in _FEET),
)
BETWEEN = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}
# What OpenPose finds besides the body.
OTHERS = ("face", "hand_left", "hand_right")


class OpenPoseSink(FolderFile):
    """One file per frame, also for frames without people; `person_id` is the id of the run."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        self._names = skeleton.keypoints
        super().__init__(path, ENDING)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the file of a frame; the picture is not needed."""
        ids, poses = result.people.ids.tolist(), body_25(result.people, self._names).tolist()
        document = {"version": 1.3, "people": [_person(*one) for one in zip(ids, poses, strict=True)]}
        name = f"{self._stem}_{result.frame_index:012d}{ENDING}"
        try:
            with self._folder.text(name) as file:
                file.write(json.dumps(document, separators=(",", ":"), allow_nan=False))
        except BaseException as error:
            remove(self._folder.partial / name)  # the frames before it are whole
            if isinstance(error, OSError):
                raise cannot_write(self.path / name, error) from error
            raise
        self._any = True


def _person(identity: int, pose: list[list[float]]) -> dict[str, Any]:
    found = {"person_id": [identity], "pose_keypoints_2d": [value for place in pose for value in place]}
    flat: dict[str, Any] = {f"{part}_keypoints_2d": [] for part in OTHERS}
    return {**found, **flat, "pose_keypoints_3d": [], **{f"{part}_keypoints_3d": [] for part in OTHERS}}


def body_25(people: People, names: tuple[str, ...]) -> NDArray[np.float64]:
    """x, y and score (P, 25, 3) of the people with the keypoints `names`, zero for points that are not known."""
    values = np.concatenate([people.points_frame, people.scores[..., None]], axis=2).astype(np.float64)
    found = np.zeros((len(people), len(BODY_25), 3))
    for place, name in enumerate(BODY_25):
        ends = (name,) if name in names else BETWEEN.get(name, ())
        if ends and all(end in names for end in ends):
            sides = values[:, [names.index(end) for end in ends]]
            found[:, place, :2], found[:, place, 2] = sides[..., :2].mean(1), sides[..., 2].min(1)
    found[~np.isfinite(found).all(axis=2)] = 0
    return np.round(found, 3)
