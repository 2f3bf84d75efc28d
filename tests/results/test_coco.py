"""Laws of COCO files: the field's own tool opens them, and they are whole whatever happened."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO

from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton
from vipnas_cli.results.coco import CocoSink
from vipnas_cli.results.facts import ResultHeader

TIME_BASE = Fraction(1, 1000)
HEADER = ResultHeader('a "clip".mp4', 640, 480, TIME_BASE, "pyramid-224", "off")


def result(index: int, ids: list[int], skeleton: Skeleton = COCO17) -> FrameResult:
    generator = np.random.default_rng(index)
    shape = len(ids), len(skeleton.keypoints)
    corners = generator.uniform(0, 200, (len(ids), 2))
    boxes = np.concatenate([corners, corners + generator.uniform(10, 100, (len(ids), 2))], axis=1).astype(np.float32)
    points = generator.uniform(0, 400, (*shape, 2)).astype(np.float32)
    people = People(np.array(ids, np.int64), boxes, points, generator.uniform(0, 1, shape).astype(np.float32))
    return FrameResult(index, 40 * index, float(40 * index * TIME_BASE), people, False)


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_the_fields_tool_reads_what_was_written(tmp_path: Path, skeleton: Skeleton) -> None:
    frames = [result(index, ids, skeleton) for index, ids in enumerate([[0, 4], [], [4], []])]
    with CocoSink(tmp_path / "out.json", skeleton, HEADER) as sink:
        for frame in frames:
            sink.write(frame)
    found = COCO(str(tmp_path / "out.json"))
    assert sorted(found.imgs) == [1, 2, 3, 4]
    assert [found.imgs[frame.frame_index + 1]["pts"] for frame in frames] == [frame.pts for frame in frames]
    names = found.loadCats(found.getCatIds())[0]
    assert tuple(names["keypoints"]) == skeleton.keypoints
    assert [(a - 1, b - 1) for a, b in names["skeleton"]] == list(skeleton.limbs)
    for frame in frames:
        rows = found.loadAnns(found.getAnnIds(imgIds=[frame.frame_index + 1]))
        assert [row["track_id"] for row in rows] == frame.people.ids.tolist()
        for row, box, points, scores in zip(
            rows, frame.people.boxes_frame, frame.people.points_frame, frame.people.scores, strict=True
        ):
            x, y, width, height = row["bbox"]
            np.testing.assert_allclose([x, y, x + width, y + height], box, atol=0.02)
            values = np.array(row["keypoints"]).reshape(-1, 3)
            np.testing.assert_allclose(values[:, :2], points, atol=0.01)
            np.testing.assert_array_equal(values[:, 2], np.where(scores >= 0.3, 2, 1))
            np.testing.assert_allclose(row["keypoint_scores"], scores, atol=6e-4)
    # Scorers take an id of 0 for no match.
    assert sorted(found.anns) == [1, 2, 3]


def test_a_video_without_frames_is_an_empty_document(tmp_path: Path) -> None:
    with CocoSink(tmp_path / "out.json", COCO17, HEADER):
        pass
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["images"] == document["annotations"] == []


def test_what_was_written_before_an_interruption_is_a_whole_document(tmp_path: Path) -> None:
    def interrupted() -> None:
        with CocoSink(tmp_path / "out.json", COCO17, HEADER) as sink:
            sink.write(result(0, [0]))
            sink.write(result(1, [0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    document = json.loads((tmp_path / "out.json").read_text())
    assert [row["image_id"] for row in document["annotations"]] == [1, 2]
    assert len(document["images"]) == 2
