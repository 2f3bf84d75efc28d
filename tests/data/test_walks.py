"""Walks over stills: labels go with the picture, the same generator repeats, and boxes err as stated."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.data.walks import PLACE_ERROR, SIZE_ERROR, Walks, walked_over

POINTS = np.array([[60 + 13 * (i % 4), 40 + 20 * (i // 4)] for i in range(17)], np.float32)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> LabelledPerson:
    """A black still of 160 by 200 pixels with a white disc on every keypoint."""
    image = np.zeros((160, 200, 3), np.uint8)
    for x, y in POINTS:
        cv2.circle(image, (int(x), int(y)), 3, (255, 255, 255), -1)
    path = tmp_path_factory.mktemp("still") / "still.png"
    assert cv2.imwrite(str(path), image)
    box = np.array([50, 30, 110, 130], np.float32)
    return LabelledPerson(path, box, POINTS, np.ones(17, np.float32))


def test_labels_stay_on_what_they_label(person: LabelledPerson) -> None:
    walks = Walks([person] * 4, 6, np.random.default_rng(0))
    for clip in walks.clips:
        assert len(clip.frames) == 6
        for frame in clip.frames:
            picture = walks.read(frame.image)
            assert picture.shape == (160, 200, 3)
            for (x, y), weight in zip(frame.points_frame, frame.weights, strict=True):
                if weight and 4 < x < 195 and 4 < y < 155:
                    around = picture[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5, 0].astype(float)
                    ys, xs = np.mgrid[-4:5, -4:5]
                    centre = np.array([(xs * around).sum(), (ys * around).sum()]) / around.sum()
                    np.testing.assert_allclose(centre, (x - round(x), y - round(y)), atol=0.3)


def test_the_first_frame_is_the_still_itself(person: LabelledPerson) -> None:
    walks = Walks([person], 3, np.random.default_rng(0))
    first, last = walks.clips[0].frames[0], walks.clips[0].frames[-1]
    np.testing.assert_array_equal(walks.read(first.image), cv2.imread(str(person.image)))
    np.testing.assert_array_equal(first.points_frame, person.points_frame)
    assert not np.array_equal(last.points_frame, person.points_frame)


def test_the_camera_moves_evenly(person: LabelledPerson) -> None:
    clip = Walks([person], 9, np.random.default_rng(2)).clips[0]
    middles = np.array([frame.points_frame.mean(0) for frame in clip.frames])
    spreads = np.array([np.ptp(frame.points_frame[:, 0]) for frame in clip.frames])
    np.testing.assert_allclose(spreads[1:] / spreads[:-1], spreads[1] / spreads[0], rtol=1e-3)
    moves = np.diff(middles, axis=0)
    assert np.linalg.norm(moves - moves.mean(0), axis=1).max() < 0.2 * np.linalg.norm(moves.mean(0)) + 0.3


def test_points_that_leave_the_picture_lose_their_weight(person: LabelledPerson) -> None:
    beside = person.points_frame + np.float32([90, 0])
    at_border = LabelledPerson(person.image, person.box_frame, beside, person.weights)
    for clip in Walks([at_border] * 8, 8, np.random.default_rng(0)).clips:
        for frame in clip.frames:
            x, y = frame.points_frame.T
            np.testing.assert_array_equal(frame.weights > 0, (x >= 0) & (x < 200) & (y >= 0) & (y < 160))


def test_boxes_err_as_stated(person: LabelledPerson) -> None:
    clips = Walks([person] * 400, 1, np.random.default_rng(0)).clips
    boxes = np.array([clip.frames[0].box_frame for clip in clips])
    sizes, size = boxes[:, 2:] - boxes[:, :2], person.box_frame[2:] - person.box_frame[:2]
    middles = (boxes[:, 2:] + boxes[:, :2]) / 2 - (person.box_frame[2:] + person.box_frame[:2]) / 2
    assert np.std(middles / size) == pytest.approx(PLACE_ERROR, rel=0.1)
    assert np.std(np.log(sizes / size)) == pytest.approx(SIZE_ERROR, rel=0.1)


def test_the_same_generator_repeats_and_more_people_change_nothing_before_them(person: LabelledPerson) -> None:
    few, pictures = walked_over([person] * 2, 4, np.random.default_rng(5))
    many = Walks([person] * 3, 4, np.random.default_rng(5))
    assert len(pictures) == 8
    for a, b in zip(few, many.clips, strict=False):
        for one, other in zip(a.frames, b.frames, strict=True):
            assert one.image == other.image
            np.testing.assert_array_equal(one.box_frame, other.box_frame)
            np.testing.assert_array_equal(pictures[one.image], many.read(other.image))
    other_seed = Walks([person] * 2, 4, np.random.default_rng(6)).clips
    assert not np.array_equal(few[0].frames[1].box_frame, other_seed[0].frames[1].box_frame)
