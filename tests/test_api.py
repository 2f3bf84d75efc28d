"""The package in Python: the same poses as `vipnas run`, frame by frame, and sentences for what cannot be used."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import vipnas_cli
from vipnas_cli import People, PoseTracker, TrackedFrame, VipnasError, read_video, track
from vipnas_cli.arrays import Boxes, Image, Scores
from vipnas_cli.cli.app import app
from vipnas_cli.errors import BudgetError, DataError, UsageError, VideoError, WeightsError
from vipnas_cli.inference.people import GivenBoxesSource, WholeFrameSource, evidence_of
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.tracker import DETECT_EVERY_FRAMES, DETECT_EVERY_S, DETECTED_EVIDENCE, LONGEST_REST_S
from vipnas_cli.latency.choice import Workload
from vipnas_cli.pose import COCO17

CLIP = Path(__file__).parents[1] / "examples" / "two_people.mp4"
BUDGET, END_S = "0.08GFLOPs", 1.5


@pytest.fixture(scope="module")
def tracked() -> list[TrackedFrame]:
    return list(track(CLIP, BUDGET, end_s=END_S, threads=1))


def rows_of(frames: Sequence[TrackedFrame]) -> list[list[str]]:
    """The rows that `vipnas run` writes for the same frames."""
    return [
        [str(index), f"{time_s:.6f}", str(person), name, f"{x:.2f}", f"{y:.2f}", f"{score:.3f}"]
        for index, (_, time_s, people) in enumerate(frames)
        for person, points, scores in zip(people.ids.tolist(), people.points_frame, people.scores, strict=True)
        for name, (x, y), score in zip(COCO17.keypoints, points.tolist(), scores.tolist(), strict=True)
    ]


def rows_of_run(folder: Path, *options: str) -> list[list[str]]:
    table = folder / "poses.csv"
    arguments = ["run", str(CLIP), "--budget", BUDGET, "--end", str(END_S), "--threads", "1", "-q", "-o", str(table)]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.exception
    with table.open(newline="") as file:
        lines = [row for row in csv.reader(file) if not row[0].startswith("#")]
    assert lines[0] == ["frame", "time_s", "person", "keypoint", "x", "y", "score"]
    return lines[1:]


def assert_same(one: Sequence[TrackedFrame], other: Sequence[TrackedFrame]) -> None:
    for left, right in zip(one, other, strict=True):
        assert left.time_s == right.time_s
        for name in ("ids", "boxes_frame", "points_frame", "scores"):
            np.testing.assert_array_equal(getattr(left.people, name), getattr(right.people, name))


def test_poses_are_those_that_run_writes(tracked: list[TrackedFrame], tmp_path: Path) -> None:
    found = rows_of(tracked)
    assert len(found) > 17 * len(tracked)
    assert found == rows_of_run(tmp_path)


def test_smoothing_and_the_options_of_the_detector_are_those_of_run(tmp_path: Path) -> None:
    frames = track(
        CLIP, BUDGET, end_s=END_S, threads=1, smooth="high", max_people=1, detector_size=256, verify=False,
        detect_every_s=0.1,
    )  # fmt: skip
    of_detector = ("--detector-size", "256", "--no-verify", "--detect-every", "0.1")
    assert rows_of(list(frames)) == rows_of_run(tmp_path, "--smooth", "high", "--max-people", "1", *of_detector)


def test_a_tracker_repeats_itself_after_a_reset(tracked: list[TrackedFrame]) -> None:
    tracker = PoseTracker(BUDGET, threads=1)
    for _ in range(2):
        with read_video(CLIP, end_s=END_S) as frames:
            found = [TrackedFrame(frame.image, frame.time_s, tracker(frame.image, frame.time_s)) for frame in frames]
        assert_same(found, tracked)
        tracker.reset()


def test_smoothed_poses_repeat_after_a_reset_too(tracked: list[TrackedFrame]) -> None:
    tracker = PoseTracker(BUDGET, threads=1, smooth="low")
    runs = []
    for _ in range(2):
        runs.append([TrackedFrame(frame, time_s, tracker(frame, time_s)) for frame, time_s, _ in tracked[:9]])
        tracker.reset()
    assert_same(*runs)


def test_any_view_of_a_picture_will_do(tracked: list[TrackedFrame]) -> None:
    tracker, found = PoseTracker(BUDGET, threads=1), []
    for frame, time_s, _ in tracked[:3]:
        backwards = np.ascontiguousarray(frame[:, :, ::-1])
        found.append(TrackedFrame(frame, time_s, tracker(backwards[:, :, ::-1], time_s)))
    assert_same(found, tracked[:3])


class Someone:
    """A people source of a user's own."""

    def __init__(self, box: Boxes, score: float) -> None:
        self.box, self.score, self.asked = box, score, 0

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        self.asked += 1
        return self.box, np.array([self.score], np.float32)


def test_what_the_budget_leaves_is_for_key_frames_of_slow_video(tracked: list[TrackedFrame]) -> None:
    frame, _, people = tracked[0]
    keys = {}
    for budget in ("0.2GFLOPs", "0.08GFLOPs"):
        tracker = PoseTracker(budget=budget, boxes=Someone(people.boxes_frame[:1], 1.0), threads=1)
        assert len(tracker.choice.pipeline.networks) == 4
        steps = [tracker.tracker.propagator.step(frame, index, index / 10) for index in range(5)]
        keys[budget] = [index for index, step in enumerate(steps) if step.reason]
    assert keys == {"0.2GFLOPs": [0, 2, 4], "0.08GFLOPs": [0, 4]}


@pytest.mark.parametrize("settings", [{}, {"smooth": "low"}, {"boxes": "own"}], ids=str)
def test_results_are_the_callers_to_change(tracked: list[TrackedFrame], settings: dict[str, Any]) -> None:
    own = {"boxes": Someone(tracked[0].people.boxes_frame[:1], 1.0)} if settings.get("boxes") else {}
    spared, harmed = (PoseTracker(BUDGET, threads=1, **{**settings, **own}) for _ in range(2))
    for frame, time_s, _ in tracked[:20]:
        seen = frame.copy()
        people = harmed(seen, time_s)
        assert len(people) > 0
        assert people == spared(frame, time_s)
        for array in (seen, people.ids, people.boxes_frame, people.points_frame, people.scores):
            array[:] = 1


def test_tracked_frames_can_be_compared(tracked: list[TrackedFrame]) -> None:
    frame, time_s, people = tracked[0]
    same = TrackedFrame(frame.copy(), time_s, people.copy())
    assert same == tracked[0]
    assert same in tracked
    for other in (tracked[1], same._replace(time_s=9.0), same._replace(frame=frame[1:]), (frame, time_s, people), 1):
        assert same != other


class Answers:
    """A people source that answers the same always, whatever that is."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def boxes(self, image: Image, frame_index: int) -> Any:
        self.asked.append(frame_index)
        return self.answer


BOX = [100, 40, 220, 340]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "no boxes and scores at frame 7"),
        ([BOX], "no boxes and scores"),
        (([BOX, [1, 2]], [1, 1]), "no boxes and scores"),
        ((None, [1]), r"boxes of shape \(\)"),
        (([BOX], None), r"scores of shape \(\)"),
        ((BOX, [1]), r"boxes of shape \(4,\)"),
        (([[*BOX, 1]], [1]), r"boxes of shape \(1, 5\) and scores of shape \(1,\) at frame 7"),
        (np.ones((2, 5)), r"boxes of shape \(5,\)"),
        (([BOX], [1, 1]), r"scores of shape \(2,\)"),
        (([BOX], [[1]]), r"scores of shape \(1, 1\)"),
        (([BOX], [float("nan")]), "with the score nan at frame 7"),
        (([BOX, [0, 0, float("nan"), 9]], [1, 1]), r"the box \[0.0, 0.0, nan, 9.0\]"),
        (([[0, 0, float("inf"), 9]], [1]), "inf"),
        (([[0, 0, 1e200, 9]], [1]), "inf"),
        (([[220, 40, 100, 340]], [1]), r"the box \[220.0, 40.0, 100.0, 340.0\]"),
        (([[100, 340, 220, 340]], [1]), "the box"),
    ],
)
def test_boxes_of_an_own_source_that_cannot_be_used_are_told(answer: Any, words: str) -> None:
    tracker = PoseTracker(BUDGET, boxes=Answers(answer), threads=1)
    with pytest.raises(DataError, match=f"the people source gave (.* )?{words}") as caught:
        tracker(np.zeros((360, 640, 3), np.uint8), 0.0, 7)
    assert caught.value.hint == "return boxes (N, 4) as x0, y0, x1, y1 in pixels, and scores (N,)"


def test_an_own_source_may_answer_in_lists_and_use_its_arrays_again(tracked: list[TrackedFrame]) -> None:
    box = tracked[0].people.boxes_frame[:1]
    reused, listed = Someone(box.copy(), 1.0), Answers((box.tolist(), [1.0]))
    trackers = [PoseTracker(BUDGET, boxes=source, threads=1) for source in (listed, reused)]
    for frame, time_s, _ in tracked[:8]:
        reused.box[:] = box
        one, other = (tracker(frame, time_s) for tracker in trackers)
        assert len(one) == 1
        assert one == other
        reused.box[:] = 1
    assert len(PoseTracker(BUDGET, boxes=Answers(([], [])), threads=1)(frame, time_s)) == 0


def test_an_own_source_is_asked_as_often_as_the_settings_say(tracked: list[TrackedFrame]) -> None:
    box = tracked[0].people.boxes_frame[:1]
    asked = {}
    for every_s in (0, None, 1.0):
        source = Answers((box, [1.0]))
        tracker = PoseTracker(BUDGET, boxes=source, detect_every_s=every_s, threads=1)
        steps = [tracker.tracker.propagator.step(frame, at, time_s) for at, (frame, time_s, _) in enumerate(tracked)]
        asked[every_s] = source.asked
        keys = [at for at, step in enumerate(steps) if step.reason]
        assert source.asked == keys if every_s == 0 else set(source.asked) < set(keys)
    assert len(asked[0]) > len(asked[None]) >= len(asked[1.0]) >= 1
    for given in (GivenBoxesSource({}), WholeFrameSource(), "whole"):
        with pytest.raises(UsageError, match="detect_every_s has no use"):
            PoseTracker(BUDGET, boxes=given, detect_every_s=0.5)


def test_what_is_said_of_newcomers_is_what_is_asked_of_them() -> None:
    section = (CLIP.parents[1] / "README.md").read_text(encoding="utf-8").partition("## In Python")[2]
    least = f"a mean keypoint score of {PropagationOptions.new_score:g} in the"
    reach = f"has to reach {DETECTED_EVIDENCE:g}."
    for text in (PoseTracker.__doc__, section.partition("\n## ")[0]):
        words = " ".join(str(text).split())
        assert least in words
        assert reach in words
        assert "score of the box times the root of that mean" in words
        assert f"every {DETECT_EVERY_S:g} s and every fourth frame, up to {LONGEST_REST_S:g} s apart" in words
    assert DETECT_EVERY_FRAMES == 4
    np.testing.assert_allclose(evidence_of(np.array([0.6]), np.array([0.49])), 0.6 * 0.7, rtol=1e-6)


def test_a_path_may_name_the_whole_frame_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(PoseTracker(BUDGET, boxes=Path("whole"), threads=1).tracker.source, WholeFrameSource)
    Path("whole").touch()
    assert isinstance(PoseTracker(BUDGET, boxes="whole", threads=1).tracker.source, WholeFrameSource)
    with pytest.raises(DataError, match="whole is not a boxes file"):
        PoseTracker(BUDGET, boxes=Path("whole"), threads=1)


def test_track_takes_a_rate_and_finds_out_the_workload_itself(tracked: list[TrackedFrame]) -> None:
    frames = list(track(CLIP, "0.2GFLOPs", end_s=0.2, threads=1, frame_rate=5))
    alone = PoseTracker("0.2GFLOPs", threads=1, frame_rate=5)
    assert alone.choice.every_frame
    assert frames == [TrackedFrame(frame, time_s, alone(frame, time_s)) for frame, time_s, _ in frames]
    for workload in (None, Workload()):
        with pytest.raises(UsageError, match="track finds out the workload itself"):
            next(track(CLIP, workload=workload))  # type: ignore[call-arg]


def test_boxes_come_from_a_file_the_whole_frame_or_an_own_source(tracked: list[TrackedFrame], tmp_path: Path) -> None:
    frame, _, people = tracked[0]
    box = people.boxes_frame[:1].round()
    x0, y0, x1, y1 = box[0].tolist()
    (tmp_path / "boxes.csv").write_text(f"frame,x,y,width,height\n0,{x0},{y0},{x1 - x0},{y1 - y0}\n")
    given = PoseTracker(BUDGET, boxes=tmp_path / "boxes.csv", threads=1)(frame, 0.0)
    np.testing.assert_array_equal(given.boxes_frame, box)
    whole = PoseTracker(BUDGET, boxes="whole", threads=1)
    assert whole(frame, 0.0).boxes_frame.tolist() in ([], [[0, 0, frame.shape[1], frame.shape[0]]])
    sure, unsure = Someone(box, 1.0), Someone(box, 0.1)
    found = PoseTracker(BUDGET, boxes=sure, threads=1)(frame, 0.0)
    np.testing.assert_array_equal(found.points_frame, given.points_frame)
    # A detector of another program has to prove what it finds, as the own one does.
    assert len(PoseTracker(BUDGET, boxes=unsure, threads=1)(frame, 0.0)) == 0
    assert (sure.asked, unsure.asked) == (1, 1)


def test_boxes_of_a_file_are_those_of_the_frame_that_is_read(tmp_path: Path) -> None:
    rows = [f"{index},{100 + 5 * index},40,120,300" for index in range(40)]
    (tmp_path / "boxes.csv").write_text("frame,x,y,width,height\n" + "\n".join(rows) + "\n")
    given = tmp_path / "boxes.csv"
    frames = list(track(CLIP, BUDGET, end_s=END_S, threads=1, stride=3, boxes=given))
    found = [[row[0], *row[4:]] for row in rows_of(frames)]
    run = rows_of_run(tmp_path, "--stride", "3", "--boxes", str(given))
    assert [[str(int(row[0]) // 3), *row[4:]] for row in run] == found


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((0, 30, 3), np.uint8),
        [[1, 2, 3]],
        None,
    ],
)
def test_what_is_no_picture_is_refused(frame: Image) -> None:
    with pytest.raises(UsageError, match="a frame is"):
        PoseTracker(BUDGET, boxes="whole", threads=1)(frame, 0.0)


def test_time_does_not_go_back_without_a_reset() -> None:
    tracker, frame = PoseTracker(BUDGET, threads=1), np.zeros((64, 64, 3), np.uint8)
    tracker(frame, 1.0)
    with pytest.raises(UsageError, match="follows one at 1 s"):
        tracker(frame, 0.9)
    tracker.reset()
    assert isinstance(tracker(frame, 0.9), People)


def test_a_single_picture_is_seen_by_a_key_network_alone(tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    with read_video(CLIP, end_s=0.03) as frames:
        cv2.imwrite(str(picture), next(iter(frames)).image[:, :, ::-1])
    (found,) = track(picture, "0.2GFLOPs", threads=1)
    alone = PoseTracker("0.2GFLOPs", threads=1, workload=Workload(single=True))
    assert alone.choice.every_frame
    assert_same([found], [TrackedFrame(found.frame, 0.0, alone(found.frame, 0.0))])


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), -float("inf"), "3", None, True])
def test_a_time_that_is_none_is_refused_and_forgotten(time_s: Any) -> None:
    tracker, frame = PoseTracker(BUDGET, boxes="whole", threads=1), np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UsageError, match="the time of a frame is"):
        tracker(frame, time_s)
    with pytest.raises(UsageError, match="index is 'a'"):
        tracker(frame, 0.0, "a")  # type: ignore[arg-type]
    assert isinstance(tracker(frame, np.float32(0.5), np.int64(3)), People)  # type: ignore[arg-type]
    assert isinstance(tracker(frame, Fraction(2, 3)), People)  # type: ignore[arg-type]


def test_a_rate_tells_a_tracker_what_track_and_run_see_in_slow_video(tmp_path: Path) -> None:
    with read_video(CLIP, end_s=END_S, stride=6) as frames:
        rate = float(frames.info.average_rate)
        assert 0 < rate < 6.7
        tracker = PoseTracker("0.2GFLOPs", threads=1, frame_rate=rate)
        found = [TrackedFrame(frame.image, frame.time_s, tracker(frame.image, frame.time_s)) for frame in frames]
    assert tracker.choice.every_frame
    assert_same(found, list(track(CLIP, "0.2GFLOPs", end_s=END_S, stride=6, threads=1)))
    run = rows_of_run(tmp_path, "--stride", "6", "--budget", "0.2GFLOPs")
    assert [row[1:] for row in run] == [row[1:] for row in rows_of(found)]
    assert not PoseTracker("0.2GFLOPs", threads=1, frame_rate=30).choice.every_frame
    with pytest.raises(BudgetError, match="running a video"):
        PoseTracker("60fps", frame_rate=30)


def test_settings_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    for settings, error, match in (
        ({"budget": "nonsense"}, BudgetError, "nonsense"),
        ({"budget": "1kFLOPs"}, BudgetError, "no pipeline"),
        ({"budget": "60fps"}, BudgetError, "fps"),
        ({"smooth": "very"}, UsageError, "very"),
        ({"provider": "abacus"}, UsageError, "abacus"),
        ({"weights": tmp_path / "none"}, WeightsError, "none"),
        ({"boxes": tmp_path / "none.csv"}, DataError, "none.csv does not exist"),
        ({"boxes": "Whole"}, DataError, "Whole does not exist"),
        ({"boxes": ""}, UsageError, "boxes is an empty path"),
        ({"weights": ""}, UsageError, "weights is an empty path"),
        ({"boxes": "whole", "detector_size": 320}, UsageError, "detector_size"),
        ({"boxes": "whole", "detect_every_s": 1.0}, UsageError, "detect_every_s"),
        ({"boxes": 3}, UsageError, "boxes is 3"),
        ({"budget": 0.2}, UsageError, "budget is 0.2"),
        ({"max_people": 0}, UsageError, "max_people is 0"),
        ({"max_people": "2"}, UsageError, "max_people is '2'"),
        ({"max_people": True}, UsageError, "max_people is True"),
        ({"region": (0, 0, 1, 1)}, UsageError, "region is"),
        ({"detector_size": 10}, UsageError, "detector_size is 10"),
        ({"detector_size": 5000}, UsageError, "detector_size is 5000"),
        ({"detect_every_s": -1}, UsageError, "detect_every_s is -1"),
        ({"detect_every_s": float("nan")}, UsageError, "detect_every_s is nan"),
        ({"verify": "x"}, UsageError, "verify is 'x'"),
        ({"boxes": "whole", "verify": True}, UsageError, "verify has no use with boxes"),
        ({"boxes": object()}, UsageError, "boxes is <object"),
        ({"budget": ""}, BudgetError, "budget ''"),
        ({"weights": 5}, UsageError, "weights is 5"),
        ({"smooth": ["low"]}, UsageError, "smooth is \\['low'\\]"),
        ({"provider": 1}, UsageError, "provider is 1"),
        ({"max_people": np.float64(2)}, UsageError, "max_people is 2.0"),
        ({"frame_rate": 0}, UsageError, "frame_rate is 0"),
        ({"frame_rate": -5.0}, UsageError, "frame_rate is -5"),
        ({"frame_rate": float("inf")}, UsageError, "frame_rate is inf"),
        ({"frame_rate": float("nan")}, UsageError, "frame_rate is nan"),
        ({"frame_rate": "5"}, UsageError, "frame_rate is '5'"),
    ):
        with pytest.raises(error, match=match):
            PoseTracker(**settings)
    with pytest.raises(VideoError, match="does not exist"):
        next(track(tmp_path / "none.mp4"))
    for stride in (0, 1.5, "2", True, None):
        with pytest.raises(UsageError, match=f"stride is {stride!r}"):
            next(track(CLIP, stride=stride))
    for video, words in (({"video": 5}, "video is 5"), ({"video": CLIP, "start_s": "1"}, "start_s is '1'")):
        with pytest.raises(UsageError, match=words):
            next(track(**video))
    frames = track(CLIP, BUDGET, stride=np.int64(2), max_people=np.int32(1), boxes="whole", verify=False, threads=1)
    assert isinstance(next(frames), TrackedFrame)
    with pytest.raises(UsageError, match="ambiguous"):
        next(track(CLIP, start_s=1.0, boxes=tmp_path / "none.csv"))


def test_every_public_name_can_be_had_and_no_other() -> None:
    for name in vipnas_cli.__all__:
        assert getattr(vipnas_cli, name).__name__ == name
    assert issubclass(VideoError, VipnasError)
    assert set(vipnas_cli.__all__) <= set(dir(vipnas_cli))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vipnas_cli.nonsense


def test_the_example_is_what_the_readme_shows_and_it_works() -> None:
    example = CLIP.with_name("track_in_python.py")
    readme = (CLIP.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"```python\n{example.read_text(encoding='utf-8')}```\n" in readme
    found = subprocess.run(
        [sys.executable, str(example)], cwd=CLIP.parents[1], capture_output=True, text=True, check=True
    )
    lines = found.stdout.splitlines()
    assert len(lines) > 20
    assert lines[0].startswith("0.00 s: nose of person 0 at [")
    assert lines[-1].startswith("1 person, in the box [[")


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "vipnas_cli", "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == f"vipnas {vipnas_cli.__version__}\n"
