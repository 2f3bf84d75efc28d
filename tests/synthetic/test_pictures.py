"""Laws of rendered pictures of synthetic people: the truth and the pixels agree."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17
from vipnas_cli.synthetic import ClipOptions, SyntheticFrame, render_clip, render_still
from vipnas_cli.synthetic.body import Body, body_of
from vipnas_cli.synthetic.looks import random_look
from vipnas_cli.synthetic.poses import KEY_POSES, pose_from
from vipnas_cli.synthetic.render import Actor, render
from vipnas_cli.synthetic.scene import Camera, Scene
from vipnas_cli.synthetic.surroundings import random_prop, random_scene

CAMERA = Camera(200, 160, (0.0, 1.1, 5.0), 420.0, pitch=0.03)
NOSE, EYE, EAR, SHOULDER, HIP = (COCO17.index(n) for n in ("nose", "left_eye", "left_ear", "left_shoulder", "left_hip"))


@pytest.fixture(scope="module")
def body() -> Body:
    generator = np.random.default_rng(11)
    return body_of(replace(random_look(generator), style="buzz", skirt=0.0), generator)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return random_scene(np.random.default_rng(5), 20.0)


def picture(
    scene: Scene, *actors: tuple[Body, float, tuple[float, float, float]], pose: str = "stand"
) -> SyntheticFrame:
    people = [
        Actor(i, b, pose_from(KEY_POSES[pose]).facing(heading), np.array(p)) for i, (b, heading, p) in enumerate(actors)
    ]
    return render(scene, CAMERA, people)


def stills() -> list[SyntheticFrame]:
    return [render_still(np.random.default_rng(seed), 160, 128) for seed in range(40)]


def around(owners: np.ndarray, x: float, y: float) -> np.ndarray:
    """The 3 x 3 pixels around a point."""
    column, row = round(float(x)), round(float(y))
    return owners[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]


def test_seen_keypoints_lie_on_their_person_and_hidden_ones_inside_the_picture():
    counts = np.zeros(3, int)
    for frame in stills():
        height, width = frame.owners.shape
        for row, (points, visibility) in enumerate(zip(frame.points_frame, frame.visibility, strict=True)):
            for (x, y), seen in zip(points, visibility, strict=True):
                counts[seen] += 1
                inside = -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
                assert inside == (seen > 0)
                if seen == 2:
                    assert (around(frame.owners, x, y) == row + 1).any()
    assert (counts > 50).all()


def test_what_shows_somebody_else_is_not_seen():
    for frame in stills():
        for row, (points, visibility) in enumerate(zip(frame.points_frame, frame.visibility, strict=True)):
            for x, y in points[visibility == 2]:
                assert not (around(frame.owners, x, y) != row + 1).all()


def test_boxes_are_tight_around_what_is_seen():
    for frame in stills():
        height, width = frame.owners.shape
        assert frame.boxes_frame.dtype == np.float32
        for row, (x0, y0, x1, y1) in enumerate(frame.boxes_frame):
            rows, columns = np.nonzero(frame.owners == row + 1)
            assert 0 <= x0 < x1 <= width - 1
            assert 0 <= y0 < y1 <= height - 1
            assert x0 - 0.5 <= columns.min()
            assert columns.max() <= x1 + 0.5
            assert y0 - 0.5 <= rows.min()
            assert rows.max() <= y1 + 0.5
            if len(frame.ids) == 1:
                ends = [columns.min(), rows.min(), columns.max(), rows.max()]
                np.testing.assert_allclose([x0, y0, x1, y1], ends, atol=0.51)
            for x, y in frame.points_frame[row][frame.visibility[row] == 2]:
                assert x0 - 0.5 <= x <= x1 + 0.5
                assert y0 - 0.5 <= y <= y1 + 0.5


@pytest.mark.parametrize(("heading", "order"), [(0.0, 1), (0.5, 1), (np.pi, -1), (np.pi - 0.5, -1)])
def test_left_is_on_the_right_of_who_faces_the_camera(scene, body, heading, order):
    frame = picture(scene, (body, heading, (0.0, 0.0, 0.0)))
    for joint in ("shoulder", "elbow", "hip", "knee", "ankle", "ear"):
        left, right = (frame.points_frame[0, COCO17.index(f"{side}_{joint}"), 0] for side in ("left", "right"))
        assert order * (left - right) > 0


def test_a_face_is_seen_from_the_front_only(scene, body):
    front, back = (picture(scene, (body, heading, (0.0, 0.0, 0.0))).visibility[0] for heading in (0.0, np.pi))
    assert (front[: EAR + 2] == 2).all()
    assert (back[: EYE + 2] == 1).all()
    assert (back[EAR : HIP + 2] == 2).all()


def test_the_far_side_is_hidden_in_profile(scene, body):
    # Turned to the own left, a person shows the right side.
    seen = picture(scene, (body, np.pi / 2, (0.0, 0.0, 0.0))).visibility[0]
    for joint in ("ear", "shoulder", "hip"):
        assert seen[COCO17.index(f"right_{joint}")] == 2
        assert seen[COCO17.index(f"left_{joint}")] == 1


def test_a_person_in_front_hides_the_one_behind(scene, body):
    alone = picture(scene, (body, 0.0, (0.0, 0.0, -1.5)))
    both = picture(scene, (body, 0.0, (0.0, 0.0, -1.5)), (body, 0.0, (0.1, 0.0, 1.0)))
    assert list(both.ids) == [0, 1]
    np.testing.assert_array_equal(alone.points_frame[0], both.points_frame[0])
    assert (both.visibility[0] == 2).sum() < (alone.visibility[0] == 2).sum()
    assert (both.owners == 1).sum() < (alone.owners == 1).sum()
    assert (both.visibility[1] == 2).sum() >= 15


def test_a_person_fully_covered_is_left_out(scene, body):
    small = body_of(
        replace(body.look, proportions=replace(body.look.proportions, height=1.0)), np.random.default_rng(0)
    )
    frame = picture(scene, (small, 0.0, (0.0, 0.0, -0.5)), (body, 0.0, (0.0, 0.0, 3.0)))
    assert 1 in frame.ids
    assert len(frame.ids) == len(frame.boxes_frame) == len(frame.points_frame) == len(frame.visibility)
    away = picture(scene, (body, 0.0, (0.0, 0.0, 0.0)), (body, 0.0, (30.0, 0.0, 0.0)))
    assert list(away.ids) == [0]
    assert set(np.unique(away.owners)) == {0, 1}


def test_things_hide_people(scene, body):
    generator = np.random.default_rng(0)
    props = tuple(random_prop(generator, np.array([0.0, 0.0, 1.2])) for _ in range(8))
    free = picture(scene, (body, 0.0, (0.0, 0.0, 0.0)))
    blocked = picture(replace(scene, props=props), (body, 0.0, (0.0, 0.0, 0.0)))
    assert (blocked.visibility[0] == 2).sum() < (free.visibility[0] == 2).sum()
    assert (blocked.owners == 1).sum() < (free.owners == 1).sum()


def test_nobody_is_a_picture_too(scene):
    frame = render(scene, CAMERA, [])
    assert frame.image.shape == (200, 160, 3)
    assert frame.boxes_frame.shape == (0, 4)
    assert frame.points_frame.shape == (0, 17, 2)
    assert not frame.owners.any()
    with pytest.raises(UsageError):
        render(scene, CAMERA, [None] * 40)


def test_camera_sees_left_right_up_and_down():
    (middle, right, up), depths = CAMERA.project(np.array([[0.0, 1.0, 0.0], [0.5, 1.0, 0.0], [0.0, 1.5, 0.0]]))
    assert right[0] > middle[0] == pytest.approx(79.5)
    assert up[1] < middle[1]
    np.testing.assert_allclose(depths, 5.0, rtol=0.02)
    feet, _ = CAMERA.project(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]))
    assert feet[0, 1] > feet[1, 1]


def test_backdrop_and_shadows_reach_every_pixel(scene, body):
    mask = scene.floor_mask(CAMERA)
    assert set(np.unique(mask)) == {0, 255}
    empty, shaded = scene.backdrop(CAMERA), picture(scene, (body, 0.0, (0.0, 0.0, 0.0)))
    assert empty.shape == (200, 160, 3)
    away = shaded.owners == 0
    change = empty[away].astype(int) - shaded.image[away]
    assert change.max() > 8
    assert change[mask[away] == 0].mean() < 2


def test_same_seed_same_still():
    first, again = (render_still(np.random.default_rng(9), 96, 96) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.points_frame, again.points_frame)
    other = render_still(np.random.default_rng(10), 96, 96)
    assert (first.image != other.image).any()
    assert first.image.dtype == np.uint8
    assert other.image.shape == (96, 96, 3)


def test_stills_vary_and_show_people():
    frames = stills()
    assert all(len(frame.ids) for frame in frames)
    assert {len(frame.ids) for frame in frames} == {1, 2, 3}
    levels = np.array([frame.image.mean() for frame in frames])
    assert levels.std() > 10


OPTIONS = ClipOptions(height=90, width=160, frames=28, rate=4.0)


@pytest.fixture(scope="module")
def clip() -> list[SyntheticFrame]:
    return list(render_clip(np.random.default_rng(2), OPTIONS))


def centres(frame: SyntheticFrame) -> dict[int, float]:
    middles = 0.5 * (frame.points_frame[:, HIP, 0] + frame.points_frame[:, HIP + 1, 0])
    return dict(zip(frame.ids.tolist(), middles.tolist(), strict=True))


def test_people_cross_and_keep_their_ids(clip):
    assert len(clip) == OPTIONS.frames
    first, last = centres(clip[0]), centres(clip[-1])
    assert first[1] < first[2]
    assert last[1] > last[2]
    paths = [centres(frame) for frame in clip]
    for before, after in itertools.pairwise(paths):
        for person in before.keys() & after.keys():
            assert abs(after[person] - before[person]) < 0.2 * OPTIONS.width


def test_one_hides_the_other_while_crossing(clip):
    seen = [dict(zip(frame.ids.tolist(), (frame.visibility == 2).sum(axis=1).tolist(), strict=True)) for frame in clip]
    least = min(counts.get(2, 0) for counts in seen)
    assert least < 0.6 * np.median([counts.get(2, 0) for counts in seen])


def test_people_have_a_size_to_track(clip):
    for frame in clip:
        for person, (_, y0, _, y1) in zip(frame.ids, frame.boxes_frame, strict=True):
            assert 0.2 < (y1 - y0) / OPTIONS.height < 0.95, person


def test_same_seed_same_clip_and_frames_come_one_by_one(clip):
    again = render_clip(np.random.default_rng(2), OPTIONS)
    for frame in clip[:3]:
        other = next(again)
        np.testing.assert_array_equal(frame.image, other.image)
        np.testing.assert_array_equal(frame.boxes_frame, other.boxes_frame)


@pytest.mark.parametrize("motion", ["walk", "throw"])
def test_people_do_what_they_are_told(motion):
    options = ClipOptions(
        height=60, width=120, frames=6, rate=2.0, people=1, motions=(motion,), crossing=False, occluder=False
    )
    paths = [centres(frame)[1] for frame in render_clip(np.random.default_rng(0), options)]
    assert (np.ptp(paths) > 15) == (motion == "walk")


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"rate": 0.0}, {"height": 2}, {"motions": ()}, {"people": -1}])
def test_impossible_clips_are_refused(wrong):
    with pytest.raises(UsageError):
        ClipOptions(**wrong)
