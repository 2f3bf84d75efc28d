"""Laws of tracks: everyone's rows, frames put back that a table left out."""

from dataclasses import replace

import numpy as np
import pytest

from vipnas_cli.media.frames import FrameResult
from vipnas_cli.metrics.steadiness import SteadinessMeter
from vipnas_cli.pose.skeletons import COCO17
from vipnas_cli.report.tracks import clip_of, steadiness


def test_who_is_there_longest_comes_first_with_the_stretches_between_losses(frames: list[FrameResult]) -> None:
    clip = clip_of(frames, COCO17)
    assert [(track.person, track.spans) for track in clip.tracks] == [(7, [(1, 2), (4, 5)]), (4, [(0, 1), (4, 4)])]
    assert clip.people_per_frame.tolist() == [1, 2, 1, 0, 2, 1]
    np.testing.assert_array_equal(clip.tracks[0].points[2], frames[4].people.points_frame[0])


def test_a_table_without_empty_frames_gives_the_same_clip(frames: list[FrameResult]) -> None:
    whole, table = clip_of(frames, COCO17), clip_of([each for each in frames if len(each.people)], COCO17)
    np.testing.assert_allclose(table.times, whole.times)
    assert [track.rows.tolist() for track in table.tracks] == [track.rows.tolist() for track in whole.tracks]


@pytest.mark.parametrize("apart", [1, 2])
def test_frames_without_people_at_the_ends_are_there_if_their_number_is_known(
    frames: list[FrameResult], apart: int
) -> None:
    late = [replace(each, frame_index=apart * (each.frame_index + 2), time_s=each.time_s + 0.08) for each in frames]
    clip = clip_of(late, COCO17, len(late) + 5)
    np.testing.assert_allclose(clip.times, np.arange(len(late) + 5) / 25, atol=1e-9)
    assert clip.people_per_frame.tolist() == [0, 0, 1, 2, 1, 0, 2, 1, 0, 0, 0]
    # A number that cannot be leaves all as it is.
    assert clip_of(late, COCO17, 1).people_per_frame.tolist() == [1, 2, 1, 0, 2, 1]


def test_more_missing_frames_than_a_table_leaves_out_are_refused(frames: list[FrameResult]) -> None:
    first, second, third = frames[:3]
    with pytest.raises(ValueError, match=r"399999998 frames are missing after frame 1$"):
        clip_of([first, second, replace(third, frame_index=400_000_000)], COCO17)
    # Numbers that count microseconds have no large gap, but many.
    numbers = np.cumsum(np.r_[0, np.tile([33_333, 33_334], 500)])
    with pytest.raises(ValueError, match="frames are missing between 1001 others"):
        clip_of([replace(first, frame_index=number, time_s=number / 1e6) for number in numbers.tolist()], COCO17)
    late = [replace(each, frame_index=each.frame_index + 2_000_000_000) for each in frames[:2]]
    with pytest.raises(ValueError, match="2000000000 frames are missing between 2 others"):
        clip_of(late, COCO17, 2_000_000_002)


def test_the_rate_is_the_mean_where_frames_are_not_evenly_apart(frames: list[FrameResult]) -> None:
    times = [0, 0.1, 0.2, 0.3, 0.4, 1.0]
    clip = clip_of([replace(each, time_s=time_s) for each, time_s in zip(frames, times, strict=True)], COCO17)
    assert clip.step_s == pytest.approx(0.2)


def test_every_second_frame_is_an_unbroken_track(frames: list[FrameResult]) -> None:
    frames = [replace(each, frame_index=2 * each.frame_index) for each in frames]
    assert [track.spans for track in clip_of(frames, COCO17).tracks] == [[(1, 2), (4, 5)], [(0, 1), (4, 4)]]


def test_curves_are_blank_where_nobody_is(frames: list[FrameResult]) -> None:
    clip = clip_of(frames, COCO17)
    track = clip.tracks[1]
    curve = track.over(len(clip.times), track.scores.mean(axis=1))
    assert np.isfinite(curve).tolist() == [True, True, False, False, True, False]


def test_the_steadiness_of_all_tracks_is_that_of_the_frames(frames: list[FrameResult]) -> None:
    meter = SteadinessMeter(COCO17)
    for each in frames:
        meter.add(each.frame_index, each.people)
    clip = clip_of(frames, COCO17)
    assert str(steadiness(clip.tracks, COCO17)) == str(meter.result)  # as text, where nan is nan


@pytest.mark.parametrize("part", [slice(0), slice(3, 4), slice(1)])
def test_short_clips(frames: list[FrameResult], part: slice) -> None:
    clip = clip_of(frames[part], COCO17)
    assert len(clip.times) == len(frames[part])
    assert clip.step_s == 0
