"""Laws of result files: what is written comes back, rows are there as soon as written, interrupting keeps them."""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.media.frames import FrameResult, VideoInfo
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.results import (
    COLUMNS,
    CsvSink,
    JsonlSink,
    ResultHeader,
    Results,
    ResultSink,
    read_csv,
    read_jsonl,
)
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton

TIME_BASE = Fraction(1, 90_000)
HEADER = ResultHeader("a clip, öäü #1.mp4", 640, 480, TIME_BASE, "fast-60fps", "one-euro 1.0 Hz")


def result(index: int, people: int, skeleton: Skeleton = COCO17) -> FrameResult:
    rng = np.random.default_rng(index)
    count = len(skeleton.keypoints)
    points = np.round(rng.uniform(-20, 640, (people, count, 2)), 2).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    scores = np.round(rng.uniform(0, 1, (people, count)), 3).astype(np.float32)
    pts = 3003 * index
    ids = np.arange(people, dtype=np.int64) + 5
    return FrameResult(index, pts, float(pts * TIME_BASE), People(ids, boxes, points, scores), index % 4 == 0)


def assert_same(read: FrameResult, written: FrameResult) -> None:
    assert (read.frame_index, read.pts) == (written.frame_index, written.pts)
    assert read.time_s == pytest.approx(written.time_s, abs=1e-6)
    np.testing.assert_array_equal(read.people.ids, written.people.ids)
    np.testing.assert_allclose(read.people.points_frame, written.people.points_frame, atol=1e-4)
    np.testing.assert_allclose(read.people.boxes_frame, written.people.boxes_frame, atol=1e-4)
    np.testing.assert_allclose(read.people.scores, written.people.scores, atol=1e-6)


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_csv_comes_back(tmp_path: Path, skeleton: Skeleton) -> None:
    results = [result(index, people, skeleton) for index, people in enumerate([2, 0, 1, 3])]
    with CsvSink(tmp_path / "out.csv", skeleton, HEADER) as sink:
        for each in results:
            sink.write(each)
    read = read_csv(tmp_path / "out.csv")
    assert isinstance(read, Results)
    assert (read.header, read.keypoints) == (HEADER, skeleton.keypoints)
    # A frame without people has no rows.
    for frame, written in zip(read.frames, [results[0], results[2], results[3]], strict=True):
        assert_same(frame, written)
        assert not frame.key


def test_jsonl_comes_back(tmp_path: Path) -> None:
    results = [result(index, people) for index, people in enumerate([2, 0, 1, 0, 3])]
    with JsonlSink(tmp_path / "out.jsonl", COCO17, HEADER) as sink:
        for each in results:
            sink.write(each)
    read = read_jsonl(tmp_path / "out.jsonl")
    assert (read.header, read.keypoints) == (HEADER, COCO17.keypoints)
    for frame, written in zip(read.frames, results, strict=True):
        assert_same(frame, written)
        assert frame.key == written.key


def test_csv_is_tidy_and_explains_itself(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(3, 1))
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert "# size: 640 x 480" in comments
    assert "# source: a clip, öäü #1.mp4" in comments
    assert any("centre of the top-left pixel" in line for line in comments)
    assert any(line.startswith("# score: ") and "0 to 1" in line for line in comments)
    rows = list(csv.DictReader(lines[len(comments) :]))
    assert tuple(rows[0]) == COLUMNS
    assert [row["keypoint"] for row in rows] == list(COCO17.keypoints)
    assert {row["frame"] for row in rows} == {"3"}
    assert {row["time_s"] for row in rows} == {"0.100100"}
    assert {row["person"] for row in rows} == {"5"}
    assert all(len(row["x"].partition(".")[2]) == 2 and len(row["score"].partition(".")[2]) == 3 for row in rows)


def test_jsonl_has_a_header_and_every_frame(tmp_path: Path) -> None:
    with JsonlSink(tmp_path / "out.jsonl", COCO17, HEADER) as sink:
        sink.write(result(0, 0))
        sink.write(result(1, 1))
    header, empty, full = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert header["schema"] == 1
    assert (header["width"], header["height"], header["skeleton"]) == (640, 480, "coco17")
    assert empty == {"frame": 0, "pts": 0, "time_s": 0.0, "key": True, "people": []}
    assert (len(full["people"][0]["keypoints"]), len(full["people"][0]["box"])) == (17, 4)


@pytest.mark.parametrize("kind", [CsvSink, JsonlSink])
def test_rows_are_there_as_soon_as_written(tmp_path: Path, kind) -> None:
    sink = kind(tmp_path / "out.txt", COCO17, HEADER)
    sink.write(result(0, 1))
    partial = tmp_path / ".out.partial.txt"
    assert not (tmp_path / "out.txt").exists()
    read = {CsvSink: read_csv, JsonlSink: read_jsonl}[kind]
    assert len(read(partial).frames) == 1  # as after a SIGKILL
    sink.close()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("kind", [CsvSink, JsonlSink])
def test_interrupting_keeps_the_rows(tmp_path: Path, kind) -> None:
    def stop_after_two() -> None:
        with kind(tmp_path / "out.txt", COCO17, HEADER) as sink:
            sink.write(result(0, 1))
            sink.write(result(1, 2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_two()
    assert len({CsvSink: read_csv, JsonlSink: read_jsonl}[kind](tmp_path / "out.txt").frames) == 2


def test_failing_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), CsvSink(tmp_path / "out.csv", COCO17, HEADER):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_video_without_people_has_a_csv_with_a_header(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 0))
    assert read_csv(tmp_path / "out.csv") == Results(HEADER, COCO17.keypoints, ())


def test_dash_is_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with CsvSink("-", COCO17, HEADER) as sink:
        sink.write(result(0, 1))
    text = capsys.readouterr().out
    (tmp_path / "copied.csv").write_text(text, encoding="utf-8")
    assert len(read_csv(tmp_path / "copied.csv").frames) == 1


def test_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        CsvSink(tmp_path / "nowhere" / "out.csv", COCO17, HEADER)


@pytest.mark.parametrize("read", [read_csv, read_jsonl])
@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", '{"schema": 2}\n', "[1]\n", "\x00\x01", "# size: 3 x\n"])
def test_foreign_files_raise_data_errors_with_the_path(tmp_path: Path, read, content: str) -> None:
    (tmp_path / "foreign.txt").write_text(content)
    with pytest.raises(DataError, match=r"foreign\.txt"):
        read(tmp_path / "foreign.txt")
    with pytest.raises(DataError, match=r"missing\.txt"):
        read(tmp_path / "missing.txt")


def test_a_truncated_pose_is_noticed(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 1))
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    (tmp_path / "out.csv").write_text(text[: text.rindex("0,")], encoding="utf-8")
    with pytest.raises(DataError, match="each keypoint once"):
        read_csv(tmp_path / "out.csv")


def test_overlay_draws_on_a_copy_with_the_times_of_the_results(tmp_path: Path, contents) -> None:
    info = VideoInfo(Path("made.mp4"), 640, 480, TIME_BASE, Fraction(30_000, 1001))
    image = np.full((480, 640, 3), 90, np.uint8)
    with OverlaySink(
        VideoWriter(tmp_path / "out.mp4", info), Painter(COCO17, caption=lambda r: f"frame {r.frame_index}")
    ) as sink:
        for index in range(3):
            sink.write(replace(result(index, 2), key=False), image)
        with pytest.raises(OutputError, match="needs the picture"):
            sink.write(result(3, 2), None)
    assert (image == 90).all()
    after = contents(tmp_path / "out.mp4")
    assert after.times == tuple(3003 * index * TIME_BASE for index in range(3))
    assert all((np.abs(picture.astype(int) - 90) > 60).sum() > 500 for picture in after.images)


def test_an_interrupted_overlay_can_be_played(tmp_path: Path) -> None:
    info = VideoInfo(Path("made.mp4"), 640, 480, TIME_BASE, Fraction(30_000, 1001))

    def stop_after_one() -> None:
        with OverlaySink(VideoWriter(tmp_path / "out.mp4", info), Painter(COCO17)) as sink:
            sink.write(result(0, 1), np.zeros((480, 640, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_one()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1


def test_every_sink_is_a_result_sink(tmp_path: Path) -> None:
    info = VideoInfo(Path("made.mp4"), 640, 480, TIME_BASE, Fraction(30))
    sinks: list[ResultSink] = [
        CsvSink(tmp_path / "out.csv", COCO17, HEADER),
        JsonlSink(tmp_path / "out.jsonl", COCO17, HEADER),
        OverlaySink(VideoWriter(tmp_path / "out.mp4", info), Painter(COCO17)),
    ]
    for sink in sinks:
        with sink as entered:
            entered.write(result(0, 1), np.zeros((480, 640, 3), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "out.mp4"]
