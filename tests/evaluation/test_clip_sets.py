"""Which clips score and which recalibrate: never the same ones, never those that are for checking."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vipnas_cli.data.clips import is_held_back, video_of
from vipnas_cli.errors import DataError
from vipnas_cli.evaluation.clip_sets import HELD_BACK, ClipSets, SetSizes, clip_sets

SIZES = SetSizes(scored=6, calibration=4, frames=3)
KEYPOINTS = [value for joint in range(17) for value in (20 + 2 * joint, 15 + 3 * joint, 2)]


def picture(path: Path) -> None:
    """A small grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((90, 80, 3), 99, np.uint8))


def write_coco(path: Path, people: int, keypoints: list[int] = KEYPOINTS) -> None:
    """A COCO file with one person per picture, named after it."""
    images, rows = [], []
    for number in range(people):
        name = f"{path.stem}{number}.png"
        picture(path.parent.parent / "images" / name)
        images.append({"id": number, "file_name": name, "height": 90, "width": 80})
        row = {"id": number, "image_id": number, "bbox": [15, 10, 50, 70], "keypoints": keypoints}
        rows.append({**row, "num_keypoints": 17, "category_id": 1})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": rows}), encoding="utf-8")


def write_sequence(folder: Path, split: str, name: str, frames: int = 8, people: int = 1) -> None:
    """A sequence of people who are all at one place."""
    images, rows = [], []
    for index in range(frames):
        file = f"images/{name}/{index}.png"
        picture(folder / file)
        images.append({"id": index, "file_name": file})
        row = {"image_id": index, "bbox": [15, 10, 50, 70], "coco_keypoints": KEYPOINTS}
        rows += [{"track_id": track, **row} for track in range(people)]
    path = folder / "annotations" / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": rows}), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Stills, clips, and what must not be touched."""
    write_coco(tmp_path / "stills/a/annotations/val.json", 4)
    write_coco(tmp_path / "stills/a/annotations/train.json", 5)
    write_coco(tmp_path / "stills/check/annotations/dev.json", 3)
    for number in range(40):
        write_sequence(tmp_path / "clips", "train", f"train{number}")
        if number < 3:
            write_sequence(tmp_path / "clips", "val", f"val{number}")
    return tmp_path


def names(sets: ClipSets) -> tuple[set[str], set[str]]:
    """Files of pictures that score, and that recalibrate."""
    return tuple(  # type: ignore[return-value]
        {str(frame.image).split("#")[0] for clip in part.clips for frame in clip.frames}
        for part in (sets.scored, sets.calibration)
    )


def test_what_scores_is_never_trained_on_and_never_for_checking(data: Path) -> None:
    scored, calibration = names(clip_sets(data, SIZES))
    assert scored
    assert calibration
    assert not any("/check/" in name or "clips/images/val" in name for name in scored | calibration)
    for name in scored:
        parts = Path(name)
        assert parts.name.startswith("val") if "/a/" in name else is_held_back(parts.parent.name, HELD_BACK)
    for name in calibration:
        parts = Path(name)
        assert parts.name.startswith("train") if "/a/" in name else not is_held_back(parts.parent.name, HELD_BACK)


def test_clips_are_the_same_every_time_and_as_many_as_asked(data: Path) -> None:
    one, two = clip_sets(data, SIZES), clip_sets(data, SIZES)
    assert one.scored.digest == two.scored.digest
    assert one.calibration.digest == two.calibration.digest != one.scored.digest
    assert len(one.calibration.clips) == 4
    assert all(len(clip.frames) == 3 for clip in (*one.scored.clips, *one.calibration.clips))
    assert clip_sets(data, SetSizes(6, 4, 2)).scored.digest != one.scored.digest


def test_checks_are_of_other_pictures_and_videos(data: Path) -> None:
    plain, sets = clip_sets(data, SIZES), clip_sets(data, SetSizes(6, 4, 3, checks=50))
    assert plain.checks is None
    assert sets.checks is not None
    assert sets.checks.clips
    assert sets.scored.digest == plain.scored.digest
    scored, _ = names(sets)
    checked, _ = names(ClipSets(sets.checks, sets.calibration))
    assert not {Path(name).parent if "/a/" not in name else name for name in scored} & {
        Path(name).parent if "/a/" not in name else name for name in checked
    }
    for name in checked:
        parts = Path(name)
        assert parts.name.startswith("val") if "/a/" in name else is_held_back(parts.parent.name, HELD_BACK)
    with pytest.raises(DataError, match="beside those that score"):
        clip_sets(data, SetSizes(500, 4, 3, checks=5))


def held_back_videos(folder: Path, count: int, clips: int, people: int) -> None:
    """So many videos that score, each of so many clips with so many people, and one still that recalibrates."""
    write_coco(folder / "annotations/train.json", 1)
    names = (f"{number:04d}" + "v" * 20 for number in range(1000))
    for name in [name for name in names if is_held_back(name, HELD_BACK)][:count]:
        for part in range(clips):
            write_sequence(folder, "train", f"{name}_clip{part}", people=people)


def test_no_video_that_scores_gives_a_clip_to_check(tmp_path: Path) -> None:
    held_back_videos(tmp_path, count=5, clips=3, people=2)
    sets = clip_sets(tmp_path, SetSizes(3, 1, 3, checks=50))
    assert sets.checks is not None
    scored, checked = ({video_of(clip.sequence) for clip in part.clips} for part in (sets.scored, sets.checks))
    assert not scored & checked
    assert len(scored | checked) == 5
    # All clips of a video and all people in them are taken; how many that are is told with the scores.
    assert sets.checks.about == f"{6 * len(checked)} clips of video and 0 stills"


def test_one_video_scores_and_leaves_none_to_check(tmp_path: Path) -> None:
    held_back_videos(tmp_path, count=1, clips=3, people=1)
    with pytest.raises(DataError, match="beside those that score"):
        clip_sets(tmp_path, SetSizes(2, 1, 3, checks=5))


def test_synthetic_checks_are_other_people() -> None:
    sets = clip_sets(None, SetSizes(2, 1, 2, checks=2))
    assert sets.checks is not None
    assert sets.checks.digest not in (sets.scored.digest, sets.calibration.digest)


def test_single_frames_come_from_stills_alone(data: Path) -> None:
    sets = clip_sets(data, SetSizes(3, 3, 1))
    assert all("/a/" in name for part in names(sets) for name in part)
    assert sets.scored.about == "3 stills"


def test_boxes_err_and_labels_do_not(data: Path) -> None:
    sets = clip_sets(data, SIZES)
    video = [clip for clip in sets.scored.clips if clip.sequence.startswith("train")]
    assert video
    for frame in video[0].frames:
        np.testing.assert_array_equal(frame.points_frame, np.array(KEYPOINTS, np.float32).reshape(17, 3)[:, :2])
        assert np.abs(frame.box_frame - [15, 10, 65, 80]).max() > 0.1
        assert np.abs(frame.box_frame - [15, 10, 65, 80]).max() < 40


def test_a_folder_without_anything_to_score_on_is_told(tmp_path: Path) -> None:
    write_coco(tmp_path / "annotations/train.json", 3)
    with pytest.raises(DataError, match="nothing to score on"):
        clip_sets(tmp_path, SIZES)
    write_coco(tmp_path / "annotations/val.json", 3, keypoints=[0] * 51)
    with pytest.raises(DataError, match="nothing to score on"):
        clip_sets(tmp_path, SIZES)
    write_coco(tmp_path / "annotations/val.json", 3)
    assert len(clip_sets(tmp_path, SIZES).scored.clips) == 3
    (tmp_path / "annotations/train.json").unlink()
    with pytest.raises(DataError, match="nothing to recalibrate with"):
        clip_sets(tmp_path, SIZES)
    with pytest.raises(DataError, match="does not exist"):
        clip_sets(tmp_path / "nowhere", SIZES)


def test_without_a_folder_people_are_synthetic() -> None:
    sets = clip_sets(None, SetSizes(2, 1, 2))
    assert sets.scored.about == "2 synthetic clips"
    assert sets.scored.digest != sets.calibration.digest
    assert all(len(clip.frames) == 2 for clip in sets.scored.clips)
