"""Laws of drawing: in place, near the person only, by score, for any size and any position."""

import numpy as np
import pytest

from vipnas_cli.media.caption import draw_caption
from vipnas_cli.media.drawing import STRENGTHS, draw_people, id_color, shade
from vipnas_cli.media.faces import head_circles
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton

BACKGROUND = 90


def canvas(height: int = 360, width: int = 480) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)


def person(
    skeleton: Skeleton = COCO17, center: tuple[float, float] = (240, 200), size: float = 160, score: float = 0.9
) -> People:
    """A ring of keypoints around a centre."""
    count = len(skeleton.keypoints)
    angles = np.arange(count) * 2 * np.pi / count
    points = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * size / 2 + center
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return People(
        np.array([7]), box[None].astype(np.float32), points[None].astype(np.float32), np.full((1, count), score, "f4")
    )


def changed(image: np.ndarray) -> np.ndarray:
    return (image != BACKGROUND).any(axis=-1)


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_draws_in_place_and_near_the_person_only(skeleton: Skeleton) -> None:
    image = canvas()
    assert draw_people(image, person(skeleton, (120, 200), 100), skeleton) is image
    rows, columns = np.nonzero(changed(image))
    assert len(rows) > 300
    assert columns.max() < 120 + 50 + 10
    assert columns.min() > 120 - 50 - 10
    assert rows.max() < 200 + 50 + 10
    assert rows.min() > 200 - 50 - 40  # the label stands above the head


def test_nobody_changes_nothing() -> None:
    assert not changed(draw_people(canvas(), People.nobody(17), COCO17)).any()


def test_sides_have_their_shades_of_the_persons_color() -> None:
    skeleton = Skeleton("arms", ("left_wrist", "left_elbow", "right_wrist", "right_elbow"), ((0, 1), (2, 3)), (1,) * 4)
    points = np.array([[[300, 200], [400, 200], [100, 200], [200, 200]]], np.float32)
    for number in (1, 2):
        people = People(
            np.array([number]), np.array([[100, 100, 400, 300]], np.float32), points, np.ones((1, 4), np.float32)
        )
        image = draw_people(canvas(), people, skeleton)
        assert image[200, 350].tolist() == pytest.approx(shade(number, "left"), abs=5)
        assert image[200, 150].tolist() == pytest.approx(shade(number, "right"), abs=5)


@pytest.mark.parametrize("number", range(12))
def test_left_is_paler_and_unsure_is_darker_than_right(number: int) -> None:
    left, right, unsure = shade(number, "left"), shade(number, "right"), shade(number, "right", STRENGTHS[0])
    assert sum(unsure) < sum(right) - 100 < sum(left) - 150


def test_limbs_are_where_the_points_are() -> None:
    skeleton = Skeleton("stick", ("left_knee", "left_ankle"), ((0, 1),), (1.0, 1.0))
    points = np.array([[[100.5, 50], [100.5, 300]]], np.float32)
    people = People(np.array([1]), np.array([[90, 50, 110, 300]], np.float32), points, np.ones((1, 2), np.float32))
    row = draw_people(canvas(), people, skeleton)[180].astype(float)
    weights = np.abs(row - BACKGROUND).sum(axis=-1)
    assert (weights * np.arange(len(weights))).sum() / weights.sum() == pytest.approx(100.5, abs=0.1)


def test_low_scores_are_left_out_and_middling_ones_faint() -> None:
    assert not changed(draw_people(canvas(), person(score=0.29), COCO17, min_score=0.3)).any()
    faint, full = (draw_people(canvas(), person(score=score), COCO17, min_score=0.3) for score in (0.32, 0.95))
    assert faint.max(axis=-1)[260:].max() < full.max(axis=-1)[260:].max()


def test_one_low_keypoint_hides_its_limbs_only() -> None:
    people = person()
    people.scores[0, COCO17.index("left_ankle")] = 0.1
    partly, fully = draw_people(canvas(), people, COCO17), draw_people(canvas(), person(), COCO17)
    assert 0 < changed(partly).sum() < changed(fully).sum()


@pytest.mark.parametrize("center", [(0, 0), (479, 359), (-400, 200), (1e7, -1e7), (float("nan"), 10)])
def test_points_anywhere_do_no_harm(center: tuple[float, float]) -> None:
    image = canvas()
    draw_people(image, person(center=center), COCO17)
    assert image.shape == (360, 480, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (30, 2000), (2160, 3840)])
def test_every_size_works(height: int, width: int) -> None:
    image = canvas(height, width)
    draw_people(image, person(center=(width / 2, height / 2), size=height * 0.8), COCO17)
    draw_caption(image, "key frame")
    assert changed(image).any()


def test_lines_grow_with_the_picture_and_shrink_with_the_person() -> None:
    def share(height: int, size: float) -> float:
        image = draw_people(canvas(height, height), person(center=(height / 2, height / 2), size=size), COCO17)
        return changed(image).sum() / size

    assert share(2000, 1600) > 1.5 * share(500, 400)
    assert share(2000, 100) < 0.8 * share(2000, 1600)


def test_ids_have_different_bright_colors() -> None:
    colors = {id_color(person) for person in range(30)}
    assert len(colors) == 30
    assert all(max(color) == 255 for color in colors)


def test_label_stays_in_the_picture() -> None:
    corner = draw_people(canvas(), person(center=(478, 2), size=4), COCO17)
    assert changed(corner)[:40, 440:].sum() > 100


def test_labels_are_off_the_faces_of_all_and_off_each_other() -> None:
    people = crowd()
    people.scores[:, 1:] = 0  # a dot of another shade on the nose, and the label
    drawn = draw_people(canvas(), people, COCO17)
    for person in people.ids.tolist():
        rows, columns = np.nonzero((drawn == id_color(person)).all(axis=-1))
        assert len(rows) > 60
        for x, y, radius in head_circles(people, COCO17):
            assert np.hypot(rows - y, columns - x).min() > 0.8 * radius


def crowd() -> People:
    """Three standing people shoulder to shoulder; the ears are 20 pixels apart."""
    body = [(0, 0), (-4, -3), (4, -3), (-10, 0), (10, 0), (-22, 35), (22, 35), *[(0, 80)] * 10]
    points = np.array([[(x + left, y + 120) for x, y in body] for left in (180, 225, 270)], np.float32)
    boxes = np.array([[left - 25, 100, left + 25, 260] for left in (180, 225, 270)], np.float32)
    return People(np.arange(3), boxes, points, np.full((3, 17), 0.95, np.float32))


def test_a_head_reaches_beyond_the_ears_and_not_to_the_shoulders() -> None:
    x, y, radius = head_circles(crowd(), COCO17)[0]
    assert (x, y) == pytest.approx((180, 119), abs=1)
    assert 10 < radius < 30
    people = crowd()
    people.scores[:, :5] = 0
    guessed = head_circles(people, COCO17)[0]
    assert np.hypot(*(guessed[:2] - (180, 120))) < guessed[2]


@pytest.mark.parametrize("width", [40, 90, 250, 480])
def test_a_caption_with_its_legend_fits_into_any_picture(width: int) -> None:
    plain, told = (draw_caption(canvas(360, width), "pipeline  0.17 GFLOPs", legend) for legend in (False, True))
    assert changed(told).sum() >= changed(plain).sum()
    assert (shade(0, "left") == told).all(axis=-1).any() == (width >= 250)


def test_caption_is_in_the_lower_left_corner() -> None:
    image = canvas()
    assert draw_caption(image, "key frame") is image
    rows, columns = np.nonzero(changed(image))
    assert rows.min() > 300
    assert rows.max() == 359
    assert columns.min() == 0
    assert columns.max() < 240
