"""Files of poses that were edited or come from elsewhere: unknown places, frames in any order, numbers without end."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17
from vipnas_cli.results.facts import ResultHeader, Results, around, ticks_of
from vipnas_cli.results.jsonl import JsonlSink, read_jsonl
from vipnas_cli.results.kinds import KINDS, Kind, output_named
from vipnas_cli.results.sink import MOST_MISSING
from vipnas_cli.results.table import CsvSink, read_table

HEADER = ResultHeader("a clip.mp4", 640, 480, Fraction(1, 90_000), "fast-60fps", "low")
UNKNOWN = 4


@pytest.fixture(autouse=True)
def _extras(request: pytest.FixtureRequest) -> None:
    """Skips what needs a package that is not there."""
    for kind in getattr(request.node, "callspec", SimpleNamespace(params={})).params.values():
        for package in kind.needs if isinstance(kind, Kind) else ():
            pytest.importorskip(package)


def frame(index: int, unknown: bool = True) -> FrameResult:
    """Two people; of the first a keypoint is not known."""
    points = np.random.default_rng(index).uniform(0, 480, (2, 17, 2)).round(2).astype(np.float32)
    scores = np.full((2, 17), 0.5, np.float32)
    if unknown:
        points[0, UNKNOWN], scores[0, UNKNOWN] = np.nan, 0
    return FrameResult(index, 3600 * index, index / 25, People(np.array([3, 5]), around(points), points, scores), False)


def results(*frames: FrameResult) -> Results:
    return Results.of(HEADER, COCO17, frames)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_keypoint_without_a_place_harms_no_file_and_stays_unknown(tmp_path: Path, kind: Kind) -> None:
    output = output_named(tmp_path / f"out{kind.end}")
    assert output is not None
    with output.open(COCO17, HEADER) as sink:
        for index in range(3):
            sink.write(frame(index))
    for path in [output.path, *output.path.rglob("*")]:
        if path.suffix in (".json", ".jsonl"):
            assert "NaN" not in path.read_text()
    if kind.name == "mot":
        assert "nan" not in output.path.read_text()
    if kind.read is None:
        return
    for index, read in enumerate(kind.read(output.path).frames):
        people = read.people
        np.testing.assert_allclose(people.boxes_frame, frame(index).people.boxes_frame, atol=0.02)
        if people.scores.shape[1] == 17:
            np.testing.assert_allclose(people.points_frame, frame(index).people.points_frame, atol=0.01)
            assert people.scores[0, UNKNOWN] == 0


def test_whatever_is_no_number_is_not_known() -> None:
    odd = frame(0, unknown=False)
    points, scores = odd.people.points_frame.copy(), odd.people.scores.copy()
    points[0, 1, 0], points[0, 2, 1], scores[1, 3] = np.inf, np.nan, np.nan
    (found,) = results(replace(odd, people=replace(odd.people, points_frame=points, scores=scores))).frames
    assert np.argwhere(~found.people.known).tolist() == [[0, 1], [0, 2], [1, 3]]
    assert np.isfinite(found.people.scores).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.read], ids=lambda kind: kind.name)
def test_whatever_is_no_number_is_read_back_as_not_known(tmp_path: Path, kind: Kind) -> None:
    odd = frame(0, unknown=False).people
    points, scores, boxes = odd.points_frame.copy(), odd.scores.copy(), odd.boxes_frame.copy()
    elbow, wrist, knee = (COCO17.index(f"left_{name}") for name in ("elbow", "wrist", "knee"))
    points[0, elbow, 0], points[0, wrist, 1], scores[1, knee] = np.inf, np.nan, np.nan
    boxes[0, 2], boxes[1] = np.inf, [-3e38, -3e38, 3e38, 3e38]
    output = output_named(tmp_path / f"out{kind.end}")
    assert output is not None
    with output.open(COCO17, HEADER) as sink:
        sink.write(FrameResult(0, 0, 0.0, People(odd.ids, boxes, points, scores), False))
    (found,) = kind.read(output.path).frames if kind.read else ()
    skeleton = kind.read(output.path).skeleton if kind.read else COCO17
    unknown = {(0, skeleton.index("left_elbow")), (0, skeleton.index("left_wrist")), (1, skeleton.index("left_knee"))}
    assert set(map(tuple, np.argwhere(~found.people.known).tolist())) == unknown
    assert all(found.people.scores[place] == 0 for place in unknown)
    assert np.isfinite(found.people.scores).all()
    assert np.isfinite(found.people.boxes_frame).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json" in kind.end or kind.name == "openpose"])
def test_json_holds_no_word_that_it_has_not(tmp_path: Path, kind: Kind) -> None:
    odd = frame(0).people
    odd = replace(odd, scores=np.full_like(odd.scores, np.nan), boxes_frame=np.full_like(odd.boxes_frame, np.inf))
    output = output_named(tmp_path / f"out{kind.end}")
    assert output is not None
    with output.open(COCO17, HEADER) as sink:
        sink.write(FrameResult(0, 0, 0.0, odd, False))
    files = [output.path] if output.path.is_file() else [*output.path.rglob("*.json")]
    assert not any(word in file.read_text() for file in files for word in ("NaN", "Infinity"))


def test_markers_whose_names_hold_tabs_and_line_breaks_have_their_columns(tmp_path: Path) -> None:
    names = ("a\tb", "two\nlines", *COCO17.keypoints[2:])
    output = output_named(tmp_path / "out.trc")
    assert output is not None
    with output.open(replace(COCO17, keypoints=names), HEADER) as sink:
        sink.write(frame(0))
    (path,) = output.path.glob("*person3*")
    lines = path.read_text().splitlines()
    assert len(lines[3].split("\t")) == len(lines[6].split("\t")) == 2 + 3 * 17


def test_frames_come_in_their_order_each_once_and_of_a_video() -> None:
    assert [one.frame_index for one in results(frame(4), frame(0), frame(2)).frames] == [0, 2, 4]
    first = frame(0)
    twice = replace(first, people=replace(first.people, ids=np.array([3, 3])))
    for wrong in ([first, first], [twice], [replace(first, frame_index=1 << 40)], [replace(first, frame_index=-1)]):
        with pytest.raises(ValueError, match="frame"):
            results(*wrong)
    for time_s in (float("nan"), float("inf"), 1e12):
        with pytest.raises(ValueError, match="time"):
            results(replace(first, time_s=time_s))


@pytest.mark.parametrize(
    "time_s",
    ["1e300000000", "inf", "nan", "-1e9", "soon", "1e-30000000", "0E300000000", "-1e-3000_0000", "1.5e-٣٠٠٠٠٠٠٠"],
)
def test_a_time_that_no_video_has_is_refused_at_once(time_s: str) -> None:
    with pytest.raises(ValueError, match=r"soon|time"):
        ticks_of(time_s, Fraction(1, 1000))


@pytest.mark.parametrize("time_s", ["0.1", "1e-1", "0.33366666666666667", "1.0E+2", " 7 ", "2.5e-300"])
def test_a_time_keeps_all_its_digits(time_s: str) -> None:
    assert ticks_of(time_s, Fraction(1, 10**18)) == round(Fraction(time_s) * 10**18)


def test_a_file_with_a_frame_twice_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "twice.jsonl"
    with JsonlSink(path, COCO17, HEADER) as sink:
        sink.write(frame(0))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match=r"twice\.jsonl.*frame 0 is there twice"):
        read_jsonl(path)
    path.write_text("\n".join([lines[0], json.dumps({**json.loads(lines[1]), "frame": 10**30})]))
    with pytest.raises(DataError, match=r"twice\.jsonl"):
        read_jsonl(path)


def test_a_table_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "na\udcffme.csv"
    with CsvSink(path, COCO17, HEADER) as sink:
        sink.write(frame(0))
    (read,) = read_table(path).frames
    assert read.people.ids.tolist() == [3, 5]


@pytest.mark.parametrize("end", [".trc", ".dlc.csv"])
def test_rows_for_frames_that_nobody_has_do_not_fill_the_disk(tmp_path: Path, end: str) -> None:
    output = output_named(tmp_path / f"out{end}")
    assert output is not None
    sink = output.open(COCO17, HEADER)
    sink.write(frame(0))
    with pytest.raises(OutputError, match="missing after frame 0"), sink:
        sink.write(frame(MOST_MISSING + 2))


@pytest.mark.parametrize("end", [".trc", ".dlc.csv"])
def test_frames_that_were_never_read_have_no_rows(tmp_path: Path, end: str) -> None:
    rows = []
    for stride in (1, 3):
        output = output_named(tmp_path / f"by{stride}{end}")
        assert output is not None
        with output.open(COCO17, replace(HEADER, stride=stride)) as sink:
            for index in range(4):
                sink.write(replace(frame(stride * index), time_s=stride * index / 25))
        (file,) = [output.path] if output.path.is_file() else [*output.path.glob("*person3*")]
        rows.append(file.read_text().splitlines())
    assert len(rows[0]) == len(rows[1])
    if end == ".trc":
        rate = float(rows[1][2].split("\t")[0])
        assert rate == pytest.approx(25 / 3, rel=1e-3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name == "dlc-h5"], ids=lambda kind: kind.name)
def test_a_file_without_frames_becomes_an_empty_table(tmp_path: Path, kind: Kind) -> None:
    with kind.sink(tmp_path / f"none{kind.end}", COCO17, HEADER) as sink:
        pass
    assert sink.path.stat().st_size > 0


def test_a_table_whose_keypoint_pandas_left_blank_as_nan_is_read(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    with CsvSink(path, COCO17, HEADER) as sink:
        sink.write(frame(0, unknown=False))
    lines = path.read_text().splitlines()
    start = lines[1].split(",")[:4]
    path.write_text("\n".join([lines[0], ",".join([*start, "nan", "nan", "0.9"]), *lines[2:]]) + "\n")
    (found,) = read_table(path).frames
    assert not found.people.known[0, 0]
    assert found.people.scores[0, 0] == 0
    assert np.isfinite(found.people.boxes_frame).all()
