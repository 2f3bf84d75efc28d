"""Files of poses that people, spreadsheets and other programs wrote again: read where that is sure, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17
from vipnas_cli.results.facts import ResultHeader, Results
from vipnas_cli.results.kinds import KINDS, output_named
from vipnas_cli.results.table import COLUMNS, read_table

HEADER = ResultHeader("a clip.mp4", 640, 480, Fraction(1, 1000), "fast-60fps", "low")
HEAD = ",".join(COLUMNS)


def frame(index: int, count: int = 2) -> FrameResult:
    """People whose numbers have more decimals than text files keep."""
    rng = np.random.default_rng(index)
    points = rng.uniform(0, 480, (count, 17, 2)).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1) - 3.3, points.max(axis=1) + 4.4], axis=1)
    scores = rng.uniform(0, 1, (count, 17)).astype(np.float32)
    return FrameResult(index, 40 * index, index / 25, People(np.arange(count), boxes, points, scores), False)


def written(path: Path, *frames: FrameResult, header: ResultHeader = HEADER) -> Path:
    output = output_named(path)
    assert output is not None
    for package in output.kind.needs:
        pytest.importorskip(package)
    with output.open(COCO17, header) as sink:
        for one in frames:
            sink.write(one)
    return path


def read(path: Path) -> Results:
    output = output_named(path)
    assert output is not None
    assert output.kind.read is not None
    return output.kind.read(path)


def refused(path: Path) -> DataError:
    """The error that tells why a file is not read; its sentence begins with the path."""
    with pytest.raises(DataError) as told:
        read(path)
    assert told.value.what.startswith(str(path))
    return told.value


@pytest.mark.parametrize("end", [".csv", ".wide.csv"])
def test_rows_have_the_cells_of_the_header(tmp_path: Path, end: str) -> None:
    path = written(tmp_path / f"out{end}", frame(0))
    head, *rows = path.read_text().splitlines()
    cells = head.count(",") + 1
    path.write_text("\n".join([head, *(f"{row},, " for row in rows)]))
    assert len(read(path).frames[0].people) == 2
    path.write_text("\n".join([head, *(row.replace(".", ",") for row in rows)]))
    told = refused(path)
    assert f"line 2 has {rows[0].replace('.', ',').count(',') + 1} cells, the header {cells}" in told.what
    assert "points" in told.hint


@pytest.mark.parametrize("word", ["", "NA", "nan", "NaN"])
@pytest.mark.parametrize("column", [4, 5, 6])
def test_a_number_that_is_not_known_is_blank_or_a_word_for_it(tmp_path: Path, word: str, column: int) -> None:
    cells = ["0", "0", "3", "nose", "1", "2", "0.5"]
    cells[column] = word
    (tmp_path / "out.csv").write_text("\n".join([HEAD, "0,0,3,tail,3,4,0.5", ",".join(cells)]) + "\n")
    (found,) = read_table(tmp_path / "out.csv").frames
    assert (found.people.known.tolist(), found.people.scores.tolist()) == ([[True, False]], [[0.5, 0]])


def test_pandas_blanks_are_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = written(tmp_path / "out.csv", frame(0))
    table = pandas.read_csv(path)
    table.loc[table.score < 0.5, ["x", "y", "score"]] = np.nan
    table.to_csv(path, index=False)
    (found,) = read(path).frames
    np.testing.assert_array_equal(found.people.known, table.score.notna().to_numpy().reshape(2, 17))


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        (f"{HEAD}\n0,0,3,nose,1,2,1\n".replace(",", ";"), "its cells are separated by semicolons", "commas"),
        (f"{HEAD}\n0,0,3,nose,1,2,1\n".replace(",", "\t"), "its cells are separated by tabs", "commas"),
        (f"{HEAD.upper()}\n0,0,3,nose,1,2,1\n", "has the column 'FRAME', expected 'frame'", "small letters"),
        (f"{HEAD.replace(',', ', ')}\n0,0,3,nose,1,2,1\n", "has the column ' time_s', expected 'time_s'", "spaces"),
        (f"{HEAD},x\n0,0,3,nose,1,2,1,1\n", "it has the column x twice", ""),
        (f"# my note\n{HEAD}\n0,0,3,nose,1,2,1\n", "begins with lines of #, none of which tells its source", "Remove"),
        (f"{HEAD}\n0,0,3,nose,1,2,1\n0,9,4,nose,1,2,1\n", "line 2: frame '0' has the times '0' and '9'", ""),
        (f"{HEAD}\n0,0,{10**20},nose,1,2,1\n", f"line 2: the id {10**20} of a person", ""),
        (f"{HEAD}\n0,0,3,nose,1,1e39,1\n", "line 2: 1e+39 is too large", ""),
        (f"{HEAD}\n-1,0,3,nose,1,2,1\n", "frame -1 is none of 0 to 2147483647", ""),
    ],
)
def test_a_table_that_is_not_quite_one_is_told_what_to_change(tmp_path: Path, text: str, words: str, hint: str) -> None:
    (tmp_path / "out.csv").write_text(text)
    told = refused(tmp_path / "out.csv")
    assert words in told.what
    assert hint in told.hint


def test_keypoints_that_are_others_than_those_of_the_facts_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "out.csv", frame(0))
    text = path.read_text()
    path.write_text(text.replace("nose", "Nase"))
    assert "those in out.csv-metadata.json: it lacks 'nose' and has 'Nase'" in refused(path).what
    path.write_text("\n".join(line for line in text.splitlines() if "_e" not in line))
    assert "lacks 'left_eye', 'right_eye', 'left_ear' and 3 more" in refused(path).what


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.read], ids=lambda kind: kind.name)
def test_scores_are_0_to_1(tmp_path: Path, kind: Any) -> None:
    path, people = tmp_path / f"out{kind.end}", frame(0, 1).people
    for score, good in ((1.0000001, True), (-1e-7, True), (7.5, False), (-0.5, False)):
        scores = np.full((1, 17), score, np.float32)
        written(path, replace(frame(0), people=replace(people, scores=scores)))
        if good:
            assert len(read(path).frames) == 1
        else:
            first = "right_ankle" if kind.name == "posetrack" else "nose"
            assert f"frame 0, person 0, {first}: the score {score:g} is none of 0 to 1" in refused(path).what


def lines_edited(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Path:
    """JSON Lines whose facts and first frame were changed."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines[0], lines[1])
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _, one: one["people"][1]["keypoints"].pop(), "line 2 is not.*: person 1 has 16 keypoints, expected 17"),
        (lambda _, one: one["people"][1].update(id=10**20), "line 2 is not.*: the id 1000.* takes more than 64 bits"),
        (lambda _, one: one["people"][0].update(box=[0, 0, 1, 1e39]), "line 2 is not.*: 1e.39 is too large"),
        (lambda facts, _: facts.update(height=-360), "no picture has a size of 640 x -360"),
    ],
)
def test_json_lines_are_told_with_line_and_person(tmp_path: Path, change: Any, words: str) -> None:
    path = lines_edited(written(tmp_path / "out.jsonl", frame(0)), change)
    with pytest.raises(DataError, match=words):
        read(path)


@pytest.mark.parametrize("end", [".json", ".posetrack.json"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row.update(keypoints=row["keypoints"][:48]), "image [01] is not.*: person 1 has 16 keypoints"),
        (lambda row: row.get("scores", row.get("keypoint_scores")).pop(), "person 1 has 1[46] scores, expected 1[57]"),
        (lambda row: row.update(image_id=77), r"annotations\[1\] has image_id 77, which no image has"),
        (lambda row: row.update(category_id=2), r"annotations\[1\] has category_id 2, people have 1"),
    ],
)
def test_people_of_coco_files_are_told(tmp_path: Path, end: str, change: Any, words: str) -> None:
    path = written(tmp_path / f"out{end}", frame(0))
    document = json.loads(path.read_text())
    change(document["annotations"][1])
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=words):
        read(path)


@pytest.mark.parametrize("limb", [[99, 100], [0, 1]])
def test_limbs_end_at_keypoints(tmp_path: Path, limb: list[int]) -> None:
    path = written(tmp_path / "out.json", frame(0))
    document = json.loads(path.read_text())
    document["categories"][0]["skeleton"].append(limb)
    path.write_text(json.dumps(document))
    assert f"the limb from {limb[0]} to {limb[1]} ends at none of 17 keypoints" in refused(path).what


def test_damage_of_a_parquet_file_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "out.parquet", *map(frame, range(9)))
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    told = refused(path)
    assert "it was damaged after it was written" in told.what
    assert "again" in told.hint


def test_what_pandas_made_of_a_parquet_file_is_read_as_a_table_without_facts(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = written(tmp_path / "out.parquet", frame(0), frame(1, 0), frame(2, 1))
    before = read(path)
    table = pandas.read_parquet(path)
    table.attrs.clear()
    table.to_parquet(path)
    after = read(path)
    assert (after.header, after.skeleton, after.whole) == (ResultHeader(), COCO17, False)
    assert [one.people for one in after.frames] == [one.people for one in before.frames if len(one.people)]
    table.iloc[:0].to_parquet(path)
    assert read(path).frames == ()
    table.drop(columns="score").to_parquet(path)
    assert "it has no column score" in refused(path).what
    table.iloc[::-1].to_parquet(path)
    assert "not in the order of the frames" in refused(path).what
    table.assign(time_s=np.arange(len(table))).to_parquet(path)
    assert "frame 0 has several times" in refused(path).what
    table.assign(person="somebody").to_parquet(path)
    assert "somebody" in refused(path).what
    table.iloc[1:].to_parquet(path)
    assert "it does not hold each keypoint once" in refused(path).what


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.read], ids=lambda kind: kind.name)
def test_names_of_pictures_stay_in_files_of_all_kinds(tmp_path: Path, kind: Any) -> None:
    header = replace(HEADER, pictures={0: "img6.png", 1: "ü 10.png", 2: "b.png"})
    path = written(tmp_path / f"out{kind.end}", frame(0), frame(1, 0), frame(2), header=header)
    assert read(path).header == header
    written(tmp_path / f"none{kind.end}", frame(0))
    assert read(tmp_path / f"none{kind.end}").header == HEADER


@pytest.mark.parametrize("end", [".json", ".mot.txt"])
def test_boxes_of_a_run_are_those_of_a_conversion(tmp_path: Path, end: str) -> None:
    frames = [frame(index) for index in range(20)]
    between = read(written(tmp_path / "out.jsonl", *frames)).frames
    run, made = written(tmp_path / f"run{end}", *frames), written(tmp_path / f"made{end}", *between)
    assert run.read_bytes() == made.read_bytes()


@pytest.mark.parametrize("end", [".dlc.csv", ".dlc.h5"])
def test_deeplabcuts_layout_without_people_keeps_all_frames(tmp_path: Path, end: str) -> None:
    pandas = pytest.importorskip("pandas")
    path = written(tmp_path / f"out{end}", *(frame(index, 0) for index in (4, 5, 6)))
    table = pandas.read_csv(path, header=[0, 1, 2, 3], index_col=0) if "csv" in end else pandas.read_hdf(path)
    assert list(table.index) == [4, 5, 6]
    assert table.isna().to_numpy().all()


@pytest.mark.parametrize("index", [1, 4])
def test_markers_that_have_no_row_are_no_lost_rows(tmp_path: Path, index: int) -> None:
    with pytest.raises(OutputError, match=f"has rows 3 frames apart, which frame {index} is not"):
        written(tmp_path / "out.trc", frame(0), frame(3), frame(index), header=replace(HEADER, stride=3))
