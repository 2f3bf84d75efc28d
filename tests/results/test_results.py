"""Laws of result files: what is written comes back, rows are there as soon as written, interrupting keeps them."""

import csv
import json
import weakref
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.media.frames import FrameResult, VideoInfo
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.pose.angles import joint_angles
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton
from vipnas_cli.results.angles import AnglesSink
from vipnas_cli.results.facts import ResultHeader, Results
from vipnas_cli.results.jsonl import JsonlSink, read_jsonl
from vipnas_cli.results.kinds import output_named
from vipnas_cli.results.sink import ResultSink
from vipnas_cli.results.table import COLUMNS, CsvSink, WideSink, read_table

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


@pytest.mark.parametrize("kind", [CsvSink, WideSink])
@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15])
def test_tables_come_back(tmp_path: Path, skeleton: Skeleton, kind) -> None:
    results = [result(index, people, skeleton) for index, people in enumerate([2, 0, 1, 3])]
    with kind(tmp_path / "out.csv", skeleton, HEADER) as sink:
        for each in results:
            sink.write(each)
    read = read_table(tmp_path / "out.csv")
    assert isinstance(read, Results)
    assert (read.header, read.keypoints, read.whole) == (HEADER, skeleton.keypoints, True)
    # A frame without people has no rows; the facts tell of it.
    for frame, written in zip(read.frames, results, strict=True):
        assert_same(frame, written)
        assert not frame.key
    (tmp_path / "out.csv-metadata.json").unlink()
    bare = read_table(tmp_path / "out.csv")
    assert ([frame.frame_index for frame in bare.frames], bare.whole) == ([0, 2, 3], False)


# How many people are on each frame, and the ticks to the next, which even of a steady rate may be rounded.
GAPS = [(0, 33), (0, 33), (0, 34), (1, 33), (0, 33), (2, 500), (0, 7), (0, 7), (0, 7), (1, 7), (0, 7)]


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("name", ["out.csv", "out.wide.csv", "out.parquet"])
def test_frames_without_people_come_back_with_their_times(tmp_path: Path, name: str, stride: int) -> None:
    output = output_named(tmp_path / name)
    assert output is not None
    for package in output.kind.needs:
        pytest.importorskip(package)
    header, pts, frames = replace(HEADER, time_base=Fraction(1, 1000), stride=stride), 40, []
    for index, (people, ticks) in enumerate(GAPS):
        found = replace(result(index, people), frame_index=stride * index, pts=pts, time_s=pts / 1000)
        frames, pts = [*frames, found], pts + ticks
    with output.open(COCO17, header) as sink:
        for frame in frames:
            sink.write(frame)
    assert output.kind.read is not None
    read = output.kind.read(tmp_path / name)
    assert (read.header, read.whole) == (header, True)
    for one, two in zip(read.frames, frames, strict=True):
        assert_same(one, two)


def test_a_table_that_lost_rows_does_not_say_where_nobody_is(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        for index, people in enumerate([1, 0, 1, 1]):
            sink.write(result(index, people))
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "out.csv").write_text("\n".join(line for line in lines if line[0] != "2") + "\n", encoding="utf-8")
    read = read_table(tmp_path / "out.csv")
    assert ([frame.frame_index for frame in read.frames], read.whole) == ([0, 3], False)


@pytest.mark.parametrize(
    "facts",
    [
        {"frames": 10**15 + 1, "frames_without_people": [[1, 1, 10**15, 1]]},
        {"frames": 2, "frames_without_people": [[1, 1, 2, 1], [9, 9, -1, 1]]},
        {"frames": 2, "frames_without_people": []},
        {"frames_without_people": [[1, 1, 1, 1]]},
    ],
)
def test_numbers_of_frames_that_cannot_be_are_left_aside(tmp_path: Path, facts: dict) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 1))
    path = tmp_path / "out.csv-metadata.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    rows = [row for row in about["schema:additionalProperty"] if not row["schema:name"].startswith("frames")]
    rows += [{"schema:name": name, "schema:value": value} for name, value in facts.items()]
    path.write_text(json.dumps({**about, "schema:additionalProperty": rows}), encoding="utf-8")
    read = read_table(tmp_path / "out.csv")
    assert ([frame.frame_index for frame in read.frames], read.whole) == ([0], False)


def test_files_of_earlier_versions_state_no_stride_and_none_is_below_one(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with JsonlSink(path, COCO17, replace(HEADER, stride=3)) as sink:
        sink.write(result(0, 1))
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    facts = json.loads(first)
    assert (facts.pop("stride"), read_jsonl(path).header.stride) == (3, 3)
    path.write_text("\n".join([json.dumps(facts), *lines]), encoding="utf-8")
    assert read_jsonl(path).header == HEADER
    path.write_text("\n".join([json.dumps({**facts, "stride": 0}), *lines]), encoding="utf-8")
    with pytest.raises(DataError, match="stride"):
        read_jsonl(path)


def test_first_facts_stay_where_there_is_no_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 1))
        sink.write(result(1, 0))

        def full(*_: object) -> None:
            raise OutputError("no room")

        monkeypatch.setattr(sink, "_facts_file", full)
    read = read_table(tmp_path / "out.csv")
    assert (len(read.frames), read.header, read.whole) == (1, HEADER, False)
    assert len(list(tmp_path.iterdir())) == 2


ODD = Skeleton("own", ('a, "b"', "two\nlines", "two\r\nlines", "#\r#", "\n# size: 1", "\x1c", "plain"), (), (0.0,) * 7)


@pytest.mark.parametrize("facts", [True, False])
@pytest.mark.parametrize("kind", [CsvSink, WideSink])
def test_whatever_keypoints_are_called_tables_come_back(tmp_path: Path, kind, facts: bool) -> None:
    with kind(tmp_path / "out.csv", ODD, HEADER) as sink:
        sink.write(result(3, 2, ODD))
    if not facts:
        (tmp_path / "out.csv-metadata.json").unlink()
    read = read_table(tmp_path / "out.csv")
    assert read.keypoints == ODD.keypoints
    assert_same(replace(read.frames[0], pts=9009), result(3, 2, ODD))


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
    rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == COLUMNS
    assert [row["keypoint"] for row in rows] == list(COCO17.keypoints)
    assert {row["frame"] for row in rows} == {"3"}
    assert {row["time_s"] for row in rows} == {"0.100100"}
    assert {row["person"] for row in rows} == {"5"}
    assert all(len(row["x"].partition(".")[2]) == 2 and len(row["score"].partition(".")[2]) == 3 for row in rows)
    about = json.loads((tmp_path / "out.csv-metadata.json").read_text(encoding="utf-8"))
    assert about["@context"] == "http://www.w3.org/ns/csvw"
    assert about["url"] == "out.csv"
    assert "centre of the top-left pixel" in about["dc:description"]
    columns = {column["name"]: column for column in about["tableSchema"]["columns"]}
    assert tuple(columns) == COLUMNS
    assert [columns[name].get("schema:unitText") for name in ("time_s", "x", "y", "score")] == [
        *("second", "pixel", "pixel", None)
    ]
    assert "0 to 1" in columns["score"]["dc:description"]
    facts = {row["schema:name"]: row["schema:value"] for row in about["schema:additionalProperty"]}
    assert (facts["source"], facts["width"], facts["height"]) == ("a clip, öäü #1.mp4", 640, 480)


OLD = """# schema: 1
# source: a clip, öäü #1.mp4
# size: 640 x 480
# time_base: 1/90000
# pipeline: fast-60fps
# smoothing: one-euro 1.0 Hz
# keypoints: nose tail
# coordinates: display pixels
frame,time_s,person,keypoint,x,y,score
3,0.100100,5,nose,1.25,2.50,0.700
3,0.100100,5,tail,3.25,4.50,0.800
"""


def test_tables_with_their_facts_in_front_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text(OLD, encoding="utf-8")
    read = read_table(tmp_path / "old.csv")
    assert (read.header, read.keypoints) == (HEADER, ("nose", "tail"))
    assert (read.frames[0].pts, read.frames[0].people.ids.tolist()) == (9009, [5])
    np.testing.assert_allclose(read.frames[0].people.points_frame, [[[1.25, 2.5], [3.25, 4.5]]])


@pytest.mark.parametrize("kind", [CsvSink, WideSink])
def test_a_table_without_its_facts_is_read_as_it_is(tmp_path: Path, kind) -> None:
    with kind(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(3, 2))
    (tmp_path / "out.csv-metadata.json").unlink()
    read = read_table(tmp_path / "out.csv")
    assert (read.header, read.keypoints) == (ResultHeader(), COCO17.keypoints)
    assert read.frames[0].pts * read.header.time_base == Fraction("0.1001")
    assert_same(replace(read.frames[0], pts=9009), result(3, 2))


def test_a_table_whose_facts_are_of_another_is_refused(tmp_path: Path) -> None:
    for name, skeleton in (("one", COCO17), ("two", POSETRACK15)):
        with CsvSink(tmp_path / f"{name}.csv", skeleton, HEADER) as sink:
            sink.write(result(0, 1, skeleton))
    (tmp_path / "two.csv").replace(tmp_path / "one.csv")
    with pytest.raises(DataError, match=r"one\.csv"):
        read_table(tmp_path / "one.csv")
    (tmp_path / "one.csv-metadata.json").write_text("{}")
    with pytest.raises(DataError, match=r"one\.csv-metadata\.json"):
        read_table(tmp_path / "one.csv")


@pytest.mark.parametrize("rows", ["1,0,0,nose,1,2,1\n0,0,0,nose,1,2,1\n", "0,0,0,nose,1,2,1\n" * 2])
def test_rows_out_of_order_and_twice_are_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "out.csv").write_text(f"{','.join(COLUMNS)}\n{rows}")
    with pytest.raises(DataError, match=r"out\.csv"):
        read_table(tmp_path / "out.csv")


def test_keypoints_of_a_pose_come_in_any_order(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 2))
    head, *rows = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "out.csv").write_text("\n".join([head, *rows[:17], *rows[:16:-1]]), encoding="utf-8")
    assert_same(read_table(tmp_path / "out.csv").frames[0], result(0, 2))
    (tmp_path / "out.csv").write_text("\n".join([head, *rows[16:], *rows[:16]]), encoding="utf-8")
    with pytest.raises(DataError, match="its rows do not stand together, by frame and person"):
        read_table(tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,0,,nose,1,2,1", "line 3, column person is empty"),
        ("0,0,0,nose,1,2", "line 3 has 6 cells, the header 7"),
        ("0,0,0,nose,1,5,2,5,0,9", "line 3 has 10 cells, the header 7"),
        ("0,0,0,nose,1,wide,1", "line 3, column y holds 'wide', no number"),
        ("0,0,1.0,nose,1,2,1", "line 3, column person holds '1.0', no whole number"),
    ],
)
@pytest.mark.parametrize("facts", ["", "# source: a\n# size: 3 x 4\n# time_base: 1/9\n# pipeline: b\n# smoothing: c\n"])
def test_what_is_no_number_is_told_with_its_line_and_column(tmp_path: Path, row: str, words: str, facts: str) -> None:
    facts += "# keypoints: nose\n" if facts else ""
    line = 3 + facts.count("\n")
    (tmp_path / "out.csv").write_text(f"{facts}{','.join(COLUMNS)}\n0,0,8,nose,1,2,1\n{row}\n")
    with pytest.raises(DataError) as told:
        read_table(tmp_path / "out.csv")
    assert words.replace("line 3", f"line {line}") in told.value.what


def test_what_is_no_number_in_a_wide_table_is_told_with_its_column(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("frame,time_s,person,nose_x,nose_y,nose_score\n0,0,1,3,high,1\n")
    with pytest.raises(DataError, match="line 2, column nose_y holds 'high', no number"):
        read_table(tmp_path / "out.csv")


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
    read = {CsvSink: read_table, JsonlSink: read_jsonl}[kind]
    assert len(read(partial).frames) == 1  # as after a SIGKILL
    sink.close()
    sink.close()
    names = ["out.txt", *(["out.txt-metadata.json"] if kind is CsvSink else [])]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("kind", [CsvSink, JsonlSink])
def test_interrupting_keeps_the_rows(tmp_path: Path, kind) -> None:
    def stop_after_two() -> None:
        with kind(tmp_path / "out.txt", COCO17, HEADER) as sink:
            sink.write(result(0, 1))
            sink.write(result(1, 2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_two()
    assert len({CsvSink: read_table, JsonlSink: read_jsonl}[kind](tmp_path / "out.txt").frames) == 2


def test_failing_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), CsvSink(tmp_path / "out.csv", COCO17, HEADER):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_video_without_people_has_a_csv_with_a_header(tmp_path: Path) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 0))
    assert (tmp_path / "out.csv").read_text() == f"{','.join(COLUMNS)}\n"
    read = read_table(tmp_path / "out.csv")
    assert (read.header, read.whole, len(read.frames[0].people)) == (HEADER, True, 0)


def test_frames_without_people_are_counted_and_not_held(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from vipnas_cli.results.parquet import ParquetSink, read_parquet

    with ParquetSink(tmp_path / "out.parquet", COCO17, HEADER) as sink:
        sink.write(result(0, 1))
        nobody = result(1, 0)
        told = weakref.ref(nobody.people)
        sink.write(nobody)
        del nobody
        assert told() is None
        for index in (2, 3):
            sink.write(result(index, 2))
    read = read_parquet(tmp_path / "out.parquet")
    assert read.whole
    assert [len(frame.people) for frame in read.frames] == [1, 0, 2, 2]


def test_dash_is_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with CsvSink("-", COCO17, HEADER) as sink:
        sink.write(result(0, 1))
    text = capsys.readouterr().out
    (tmp_path / "copied.csv").write_text(text, encoding="utf-8")
    assert len(read_table(tmp_path / "copied.csv").frames) == 1


def test_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        CsvSink(tmp_path / "nowhere" / "out.csv", COCO17, HEADER)


@pytest.mark.parametrize("read", [read_table, read_jsonl])
@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", '{"schema": 2}\n', "[1]\n", "\x00\x01", "# size: 3 x\n"])
def test_foreign_files_raise_data_errors_with_the_path(tmp_path: Path, read, content: str) -> None:
    (tmp_path / "foreign.txt").write_text(content)
    with pytest.raises(DataError, match=r"foreign\.txt"):
        read(tmp_path / "foreign.txt")
    with pytest.raises(DataError, match=r"missing\.txt"):
        read(tmp_path / "missing.txt")


@pytest.mark.parametrize(("cut", "words"), [("0,", "line 35 has 2 cells"), ("0,0.000000", "each keypoint once")])
def test_a_truncated_pose_is_noticed(tmp_path: Path, cut: str, words: str) -> None:
    with CsvSink(tmp_path / "out.csv", COCO17, HEADER) as sink:
        sink.write(result(0, 2))
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    (tmp_path / "out.csv").write_text(text[: text.rindex(cut)], encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / "out.csv")


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
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("out.csv", "out.csv-metadata.json", "out.jsonl", "out.mp4")
    ]


def test_angles_are_a_table_that_pandas_reads_with_blanks_where_a_joint_is_unsure(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    given = result(3, 2)
    given.people.scores[:] = 0.9
    given.people.scores[1, COCO17.index("left_knee")] = 0.1
    with AnglesSink(tmp_path / "out.angles.csv", COCO17, HEADER) as sink:
        sink.write(given)
        sink.write(replace(given, frame_index=4, people=People.nobody(17)))
    table = pandas.read_csv(tmp_path / "out.angles.csv")
    assert list(table) == ["frame", "time_s", "person", "angle", "side", "degrees"]
    expected = joint_angles(given.people.points_frame, given.people.scores, COCO17)
    np.testing.assert_allclose(table["degrees"].to_numpy().reshape(expected.shape), expected, atol=0.051)
    blank = table[table["degrees"].isna()]
    assert set(zip(blank["person"], blank["angle"], blank["side"], strict=True)) == {
        (int(given.people.ids[1]), "knee", "left"),
        (int(given.people.ids[1]), "hip", "left"),
    }


def test_a_table_and_its_facts_are_both_there_or_neither(tmp_path: Path) -> None:
    (tmp_path / "out.csv-metadata.json").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        CsvSink(tmp_path / "out.csv", COCO17, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv-metadata.json"]
    (tmp_path / "out.csv-metadata.json").rmdir()
    for source in ("first.mp4", "second.mp4"):
        with CsvSink(tmp_path / "out.csv", COCO17, replace(HEADER, source=source)) as sink:
            sink.write(result(0, 1))
    assert read_table(tmp_path / "out.csv").header.source == "second.mp4"
    with pytest.raises(KeyboardInterrupt), CsvSink(tmp_path / "out.csv", COCO17, HEADER):
        raise KeyboardInterrupt
    assert read_table(tmp_path / "out.csv").header.source == "second.mp4"
    assert len(list(tmp_path.iterdir())) == 2
