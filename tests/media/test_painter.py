"""Laws of what a person sees: backgrounds, blurred faces, trails, the bar."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.media.frames import FrameResult, VideoInfo
from vipnas_cli.media.painter import BLUR_HOLD_S, Background, Painter, PictureStyle
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17

NOISE = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)


def standing(x: float) -> People:
    """One person whose head is around (x, 60)."""
    points = np.full((1, 17, 2), (x, 200), np.float32)
    points[0, :5] = [(x, 60), (x - 4, 57), (x + 4, 57), (x - 10, 60), (x + 10, 60)]
    points[0, 5:7] = [(x - 20, 95), (x + 20, 95)]
    points[0, 11:13] = [(x - 10, 150), (x + 10, 150)]
    box = np.array([[x - 25, 40, x + 25, 220]], np.float32)
    return People(np.array([3]), box, points, np.full((1, 17), 0.9, np.float32))


def result(index: int, people: People) -> FrameResult:
    return FrameResult(index, index, index / 10, people, True)


def paint(style: PictureStyle, *people: People, caption: str | None = None) -> np.ndarray:
    """The last picture of a video with these people."""
    painter = Painter(COCO17, style, None if caption is None else lambda _: caption)
    return [painter.paint(result(index, each), NOISE) for index, each in enumerate(people)][-1]


def test_the_backgrounds_show_the_same_poses() -> None:
    picture, black, beside = (paint(PictureStyle(Background(kind)), standing(100)) for kind in Background)
    drawn = (black != 0).any(axis=-1)
    assert (picture[drawn & (black.max(axis=-1) > 200)] == black[drawn & (black.max(axis=-1) > 200)]).mean() > 0.9
    assert (beside[:, :320] == NOISE).all()
    assert (beside[:, 320:] == black).all()


def test_the_painted_size_is_that_of_the_pictures() -> None:
    info = VideoInfo(Path("made.mp4"), 320, 240, Fraction(1, 10), Fraction(10))
    for kind in Background:
        painter = Painter(COCO17, PictureStyle(kind))
        assert painter.paint(result(0, standing(100)), NOISE).shape[1] == painter.info(info).width


def detail(picture: np.ndarray, x: int) -> float:
    """How much neighbours differ where the head is."""
    return float(np.abs(np.diff(picture[48:72, x - 12 : x + 12].astype(float), axis=1)).mean())


def test_faces_are_blurred_also_a_moment_after_their_person_is_lost() -> None:
    style, nobody = PictureStyle(blur_faces=True, min_score=1.1), People.nobody(17)
    held = round(BLUR_HOLD_S * 10)
    assert detail(NOISE, 100) > 50
    assert detail(paint(style, standing(100)), 100) < 10
    assert detail(paint(style, standing(100), *[nobody] * held), 100) < 10
    assert detail(paint(style, standing(100), *[nobody] * (held + 1)), 100) > 50
    unsure = replace(standing(100), scores=np.full((1, 17), 0.05, np.float32))
    assert detail(paint(style, unsure), 100) < 10


def test_faces_of_people_who_are_not_told_of_are_blurred_and_nothing_of_them_is_drawn() -> None:
    other = replace(standing(220), ids=np.array([4]))
    for style, blurred in ((PictureStyle(blur_faces=True), True), (PictureStyle(trails_s=1), False)):
        painter, alone = Painter(COCO17, style), Painter(COCO17, style)
        for index in range(3):
            both, told = replace(result(index, standing(100)), others=other), result(index, standing(100))
            picture, without = painter.paint(both, NOISE), alone.paint(told, NOISE)
        assert (detail(picture, 220) < 10) == blurred
        rows, _ = np.nonzero((picture != without).any(axis=-1))
        assert rows.max(initial=0) < 95
    # Who is told of no more stays blurred, too.
    held = Painter(COCO17, PictureStyle(blur_faces=True, min_score=1.1))
    held.paint(replace(result(0, standing(100)), others=other), NOISE)
    assert detail(held.paint(result(1, People.nobody(17)), NOISE), 220) < 10


def test_blurring_leaves_the_rest_and_the_source_as_they_are() -> None:
    before = NOISE.copy()
    blurred = paint(PictureStyle(blur_faces=True, min_score=1.1), standing(100))
    assert (before == NOISE).all()
    rows, columns = np.nonzero((blurred != NOISE).any(axis=-1))
    assert rows.max() < 95
    assert 65 < columns.min() < columns.max() < 135


def test_trails_show_where_the_hips_were_and_for_how_long() -> None:
    way = [standing(50 + 10 * step) for step in range(20)]
    black = PictureStyle(Background.black, min_score=0.3)
    without, with_one = paint(black, *way), paint(replace(black, trails_s=1), *way)
    rows, columns = np.nonzero((without != with_one).any(axis=-1))
    assert rows.min() > 140
    assert rows.max() < 160
    assert columns.min() == pytest.approx(50 + 10 * 9, abs=4)
    both = paint(replace(black, trails_s=1, trail_of=("left_shoulder", "nose")), *way)
    assert (both[60, 160:200] != 0).any()


def test_a_trail_needs_a_keypoint_that_exists() -> None:
    with pytest.raises(UsageError, match="left_toe"):
        Painter(COCO17, PictureStyle(trail_of=("left_toe",)))


def test_the_bar_can_be_left_out() -> None:
    nobody = People.nobody(17)
    assert (paint(PictureStyle(), nobody, caption="facts") != NOISE).any()
    assert (paint(PictureStyle(bar=False), nobody, caption="facts") == NOISE).all()
