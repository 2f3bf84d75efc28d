"""Left and right stay as most key frames saw them; a mistake of a frame or two is undone."""

import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17, People
from vipnas_cli.tracking.sides import SideOptions, SideVote

FLIPPED = np.array(COCO17.flip_order)
LEGS = [COCO17.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle") for side in ("left", "right")]
HEIGHTS = np.repeat(np.linspace(20, 200, 9), 2)[1:]


def person(width: float = 60.0, score: float = 1.0, identity: int = 0) -> People:
    """Someone who faces the camera, with left keypoints `width` pixels to the right of the right ones."""
    x = np.full(17, 100.0)
    for left, right in COCO17.flip_pairs:
        x[left], x[right] = 100 + width / 2, 100 - width / 2
    points = np.stack([x, HEIGHTS], -1).astype(np.float32)[None]
    box = np.array([[60, 10, 140, 210]], np.float32)
    return People(np.array([identity]), box, points, np.full((1, 17), score, np.float32))


def exchanged(people: People, joints: list[int] | None = None) -> People:
    order = np.arange(17)
    order[joints or slice(None)] = FLIPPED[joints or slice(None)]
    return People(people.ids, people.boxes_frame, people.points_frame[:, order], people.scores[:, order])


def seen(vote: SideVote, frames: list[People], key: bool = True, start_s: float = 0.0) -> list[People]:
    return [vote.settled(people, key, start_s + index / 30)[0] for index, people in enumerate(frames)]


def same(a: People, b: People) -> bool:
    return np.array_equal(a.points_frame, b.points_frame) and np.array_equal(a.scores, b.scores)


def test_what_agrees_is_left_alone() -> None:
    vote, frames = SideVote(), [person(width) for width in (60, 40, 20, 5, 20, 60)]
    for people in frames:
        settled, order = vote.settled(people, True, 0.1)
        assert same(settled, people)
        assert (order == np.arange(17)).all()


def test_a_single_mistake_is_undone_and_told() -> None:
    vote = SideVote()
    seen(vote, [person()] * 3)
    settled, order = vote.settled(exchanged(person()), True, 0.1)
    assert same(settled, person())
    assert (order == FLIPPED).all()


def test_parts_of_the_body_are_judged_alone() -> None:
    vote = SideVote()
    seen(vote, [person()] * 3)
    settled, order = vote.settled(exchanged(person(), LEGS), True, 0.1)
    assert same(settled, person())
    assert np.flatnonzero(order != np.arange(17)).tolist() == sorted(LEGS)


def test_more_key_frames_than_believed_before_turn_a_belief() -> None:
    vote = SideVote()
    seen(vote, [person()] * 3)
    wrong = exchanged(person())
    assert [same(people, person()) for people in seen(vote, [wrong] * 5)] == [True, True, False, False, False]


@pytest.mark.parametrize(("gap_s", "kept"), [(0.1, True), (0.9, True), (1.1, False), (60.0, False)])
def test_after_a_gap_anyone_may_have_turned_round(gap_s: float, kept: bool) -> None:
    vote, turned = SideVote(), exchanged(person())
    seen(vote, [person()] * 20)
    first, *_ = seen(vote, [turned] * 3, start_s=19 / 30 + gap_s)
    assert same(first, person() if kept else turned)


def test_an_old_belief_is_limited() -> None:
    vote = SideVote(options=SideOptions(most_votes=2))
    seen(vote, [person()] * 50)
    assert [same(people, person()) for people in seen(vote, [exchanged(person())] * 3)] == [True, False, False]


def test_unsure_poses_have_less_of_a_vote() -> None:
    vote = SideVote()
    seen(vote, [person()] * 2)
    assert all(same(people, person(score=0.4)) for people in seen(vote, [exchanged(person(score=0.4))] * 4))


def test_followers_do_not_vote() -> None:
    vote = SideVote()
    seen(vote, [person()])
    assert all(same(people, person()) for people in seen(vote, [exchanged(person())] * 9, key=False))


def test_sides_that_lay_on_each_other_are_doubted() -> None:
    vote = SideVote()
    seen(vote, [person()] * 12)
    seen(vote, [person(2)] * 8)
    # The last narrow pose says nothing, so the next one is taken as it is and then kept.
    assert same(seen(vote, [exchanged(person())])[0], exchanged(person()))


def test_others_and_newcomers_are_on_their_own() -> None:
    vote = SideVote()
    seen(vote, [person()] * 3)
    assert same(seen(vote, [exchanged(person(identity=1))])[0], exchanged(person(identity=1)))
    vote.reset()
    assert same(seen(vote, [exchanged(person())])[0], exchanged(person()))
    assert len(seen(vote, [People.nobody(17)])[0]) == 0


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UsageError, match="clear"):
        SideOptions(clear=0)
