"""Who is followed where not everyone is."""

from fractions import Fraction

import numpy as np
import pytest

from vipnas_cli.errors import InputError, UsageError
from vipnas_cli.inference.choosing import Focus, Region, parse_person, parse_region
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.inference.pipeline import RunStatistics
from vipnas_cli.inference.propagation import PropagationOptions, Step
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.media.frames import Frame
from vipnas_cli.pose import People, Skeleton
from vipnas_cli.spec import FAST_BASE, Plan
from vipnas_cli.tracking.ids import IdentityTracker

DOTS = Skeleton("dots", ("nose", "left_hand", "right_hand", "left_foot", "right_foot"), ((0, 1),), (0.05,) * 5)
POINTS = np.array([[50, 30], [30, 60], [70, 60], [40, 110], [60, 110]], np.float32)
SIZE = (200, 400)
# At the left edge, in the middle, and large at the right edge.
LEFT, MIDDLE, LARGE = [0, 50, 60, 150], [170, 50, 230, 150], [280, 20, 400, 200]
BOXES = np.array([LEFT, MIDDLE, LARGE], np.float32)


@pytest.mark.parametrize(
    ("text", "first"),
    [("largest", 2), ("central", 1), ("20,100", 0), ("0.9,0.5", 2), ("62,100", 0)],
)
def test_a_rule_means_the_person_that_it_says(text: str, first: int) -> None:
    focus = parse_person(text)
    assert isinstance(focus, Focus)
    assert focus.ranks(BOXES, SIZE).argmax() == first
    assert len(focus.ranks(BOXES[:0], SIZE)) == 0


@pytest.mark.parametrize(
    ("text", "inside"), [("399,199", True), ("0.9,0.9", True), ("5000,90", False), ("20,900", False)]
)
def test_a_point_outside_the_picture_is_refused(text: str, inside: bool) -> None:
    focus = parse_person(text)
    assert isinstance(focus, Focus)
    if inside:
        focus.check(SIZE)
        return
    with pytest.raises(InputError, match="outside the picture of 400 x 200") as caught:
        focus.check(SIZE)
    # Python has no options that begin with two hyphens.
    assert "--" not in caught.value.hint


def test_a_region_outside_the_picture_is_refused() -> None:
    for text in ("0,0,1,1", "390,190,500,500", "0.5,0.5,0.5,0.5"):
        parse_region(text).check(SIZE)
    with pytest.raises(InputError, match="outside the picture of 400 x 200") as caught:
        parse_region("5000,5000,10,10").check(SIZE)
    assert "--" not in caught.value.hint
    Focus().check((1, 1))


def test_prominent_is_large_and_central() -> None:
    assert Focus().ranks(BOXES[:2], SIZE).argmax() == 1
    assert Focus().ranks(BOXES, SIZE).argmax() == 2


def test_a_region_is_in_pixels_or_in_shares() -> None:
    np.testing.assert_array_equal(parse_region("100,0,200,200").holds(BOXES, SIZE), [False, True, False])
    np.testing.assert_array_equal(parse_region("0.25,0,0.75,1").holds(BOXES, SIZE), [False, True, True])
    np.testing.assert_array_equal(Region(0, 0, 1, 1).holds(BOXES, SIZE), [True] * 3)


@pytest.mark.parametrize("text", ["", "tallest", "1,2,3", "-1,2", "nan,1", "1.5"])
def test_other_persons_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no person"):
        parse_person(text)


@pytest.mark.parametrize("text", ["1.5,0.5", "0.5,300", "1,0.5"])
def test_a_point_is_in_pixels_or_in_shares(text: str) -> None:
    with pytest.raises(UsageError, match="mixes"):
        parse_person(text)
    assert parse_person("0,300") == Focus("at", (0.0, 300.0))


@pytest.mark.parametrize("text", ["", "0,0,0,1", "1,2,3", "a,b,c,d"])
def test_other_regions_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="region"):
        parse_region(text)


def painted(*columns: float, nobody: tuple[int, ...] = ()) -> np.ndarray:
    image = np.zeros((160, 400, 3), np.uint8)
    for index, column in enumerate(columns):
        for keypoint, (x, y) in enumerate((POINTS + np.array([column, 0])).astype(int)):
            if index not in nobody:
                image[y - 2 : y + 3, x - 2 : x + 3] = (10 * (keypoint + 1), 255, 0)
    return image


def followed(options: PropagationOptions, columns: list[tuple[float, ...]]) -> list[np.ndarray]:
    """The left edges of the boxes of those who are followed while people stand at `columns`."""
    given = {
        i: np.array([[20 + x, 20, 80 + x, 120, 0.9 - 0.1 * n] for n, x in enumerate(row)], np.float32)
        for i, row in enumerate(columns)
    }
    estimator = PaintedEstimator((Plan(FAST_BASE),), DOTS)
    found = Propagator(estimator, GivenBoxesSource(given), IdentityTracker(DOTS), options)
    return [found.step(painted(*row), i, i / 30).people.boxes_frame[:, 0] for i, row in enumerate(columns)]


def test_one_person_is_the_most_prominent_and_stays_so_while_there() -> None:
    options = PropagationOptions(max_people=1, spare_boxes=3)
    walk = [(0.0, 150.0 + 20 * i) for i in range(6)]
    # The first of the source stands at the edge; the other one walks there and is followed on.
    for row, edges in zip(walk, followed(options, walk), strict=True):
        np.testing.assert_allclose(edges, [20 + row[1]], atol=1)


def test_one_who_is_meant_is_told_until_forgotten_though_others_are_followed() -> None:
    options = PropagationOptions(max_people=4, spare_boxes=3, one=True, focus=Focus("at", (50.0, 70.0)))
    both, other = [(0.0, 150.0)], [(150.0,)]
    edges = [found.tolist() for found in followed(options, both * 4 + other * 60)]
    assert edges[:4] == [[20.0]] * 4
    # Only after 1.5 s, 45 frames, the other one is meant.
    assert edges[6:44] == [[]] * 38
    assert edges[-1] == [170.0]


def test_whoever_is_nobody_takes_no_place() -> None:
    options = PropagationOptions(max_people=1, spare_boxes=3)
    boxes = np.array([[170, 20, 230, 120, 0.9], [20, 20, 80, 120, 0.5]], np.float32)
    source = GivenBoxesSource({0: boxes})
    found = Propagator(PaintedEstimator((Plan(FAST_BASE),), DOTS), source, IdentityTracker(DOTS), options)
    people = found.step(painted(0, 150, nobody=(1,)), 0, 0.0).people
    np.testing.assert_array_equal(people.boxes_frame, boxes[1:, :4])
    assert people.ids.tolist() == [0]


def test_outside_the_region_is_nobody_and_an_id_is_that_one_alone() -> None:
    rows = [(0.0, 150.0, 300.0)] * 2
    region = PropagationOptions(region=Region(100, 0, 150, 160))
    assert [edges.tolist() for edges in followed(region, rows)] == [[170.0]] * 2
    assert [edges.tolist() for edges in followed(PropagationOptions(identity=1), rows)] == [[170.0]] * 2
    assert [edges.tolist() for edges in followed(PropagationOptions(identity=9), rows)] == [[]] * 2


@pytest.mark.parametrize(
    ("options", "ids", "others"),
    [
        (PropagationOptions(identity=1), [1], [0, 2]),
        (PropagationOptions(one=True, focus=Focus("at", (350.0, 70.0))), [2], [0, 1]),
        (PropagationOptions(region=Region(100, 0, 150, 160)), [0], []),
        (PropagationOptions(max_people=1, spare_boxes=3), [0], []),
    ],
)
def test_whoever_is_followed_beside_those_who_are_meant_has_a_pose(
    options: PropagationOptions, ids: list[int], others: list[int]
) -> None:
    columns = (0.0, 150.0, 300.0)
    boxes = np.array([[20 + x, 20, 80 + x, 120, 0.9 - 0.001 * x] for x in columns], np.float32)
    found = Propagator(
        PaintedEstimator((Plan(FAST_BASE),), DOTS), GivenBoxesSource({0: boxes}), IdentityTracker(DOTS), options
    )
    step = found.step(painted(*columns), 0, 0.0)
    assert step.people.ids.tolist() == ids
    beside = step.others or People.nobody(5)
    assert beside.ids.tolist() == others
    for identity, points in zip(others, beside.points_frame, strict=True):
        np.testing.assert_allclose(points, POINTS + np.array([columns[identity], 0]), atol=1.0)


def counted(walks: dict[int, list[float]], region: Region | None = None, cut: int | None = None) -> RunStatistics:
    """Statistics of 20 frames in a second, in which people of 60 x 100 pixels are at these left edges, as long as they
    are there; `cut` is the first frame of another scene."""
    statistics = RunStatistics(region=region)
    for index in range(20):
        ids = [identity for identity, walk in walks.items() if index < len(walk)]
        boxes = np.array([[walks[i][index], 20, walks[i][index] + 60, 120] for i in ids], np.float32).reshape(-1, 4)
        people = People(np.array(ids, np.int64), boxes, np.zeros((len(ids), 5, 2)), np.ones((len(ids), 5), np.float32))
        statistics.add(
            Step(people, 0, "cut" if index == cut else None, 0), Frame(index, index, Fraction(1, 20), painted())
        )
    return statistics


def test_whoever_leaves_the_region_is_not_lost_and_whoever_vanishes_inside_it_is() -> None:
    # The middles of the first two reach 198 and 170, and the second one's next step leads out of the region.
    walks = {0: [120.0, 140.0, 160.0, 168.0], 1: [60.0, 100.0, 140.0], 2: [100.0] * 4, 3: [80.0] * 20}
    assert counted(walks, parse_region("0,0,0.5,1")).lost == {2: 0.15}
    assert counted(walks).lost.keys() == {0, 1, 2}


def test_whoever_vanishes_inside_the_picture_is_lost_and_whoever_leaves_it_is_not() -> None:
    assert counted({0: [150.0] * 5, 1: [340.0] * 5, 2: [60.0] * 20}).lost == {0: 0.2}
    # Who goes with a scene is not lost, who goes later is.
    assert counted({0: [150.0] * 5, 1: [60.0] * 20}, cut=5).lost == {}
    assert counted({0: [150.0] * 5, 1: [60.0] * 20}, cut=4).lost == {0: 0.2}
    # A step like the last one leads out of the picture.
    assert counted({0: [100.0, 180.0, 260.0], 1: [60.0] * 20}).lost == {}
