"""What other programs find in result files: the numbers that were written. Those that are not installed are skipped."""

from __future__ import annotations

import contextlib
import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.checks.posetrack import prediction_problems
from vipnas_cli.data.files.boxes import read_boxes
from vipnas_cli.data.files.posetrack import read_predictions, read_truth
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.conversion import posetrack15_from_coco17
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, POSETRACK18_FILE, Skeleton
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.kinds import output_named

HEIGHT = 480
HEADER = ResultHeader("a clip, ü #1.mp4", 640, HEIGHT, Fraction(1, 30), "fast-60fps", "low")
# Who is on each frame; the second person comes late and goes in between, and frame 2 has nobody.
IDS = [[3], [3], [], [8, 3], [3], [8]]
NAMES = COCO17.keypoints


def frame(index: int) -> FrameResult:
    rng = np.random.default_rng(index)
    count = len(IDS[index])
    points = rng.uniform(0, HEIGHT, (count, 17, 2)).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1) - 3, points.max(axis=1) + 4], axis=1)
    people = People(np.array(IDS[index], np.int64), boxes, points, rng.uniform(0, 1, (count, 17)).astype(np.float32))
    return FrameResult(index, index, index / 30, people, index == 0)


FRAMES = [frame(index) for index in range(len(IDS))]
# Frame, person, x, y and score of every pose.
POSES = [
    (one.frame_index, int(person), points, scores)
    for one in FRAMES
    for person, points, scores in zip(one.people.ids, one.people.points_frame, one.people.scores, strict=True)
]


@pytest.fixture
def opened(tmp_path: Path):
    """Writes the frames as a kind and gives the path."""

    def write(name: str) -> Path:
        output = output_named(tmp_path / name)
        assert output is not None
        with output.open(COCO17, HEADER) as sink:
            for one in FRAMES:
                sink.write(one, None)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["clip.csv", "clip.parquet"])
def test_pandas_reads_the_tidy_table_as_it_is(opened, name: str) -> None:
    pandas = pytest.importorskip("pandas")
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = opened(name)
    table = pandas.read_csv(path) if name.endswith("csv") else pandas.read_parquet(path)
    assert list(table) == ["frame", "time_s", "person", "keypoint", "x", "y", "score"]
    assert (table.frame.dtype, table.person.dtype) == (np.int64, np.int64)
    assert list(table.keypoint) == list(NAMES) * len(POSES)
    np.testing.assert_array_equal(table.frame, np.repeat([index for index, *_ in POSES], 17))
    np.testing.assert_array_equal(table.person, np.repeat([person for _, person, *_ in POSES], 17))
    np.testing.assert_allclose(table.time_s, table.frame / 30, atol=1e-6)
    np.testing.assert_allclose(table[["x", "y"]], np.concatenate([points for *_, points, _ in POSES]), atol=0.0051)
    np.testing.assert_allclose(table.score, np.concatenate([scores for *_, scores in POSES]), atol=0.00051)


def test_pandas_reads_the_wide_table_json_lines_and_boxes(opened) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(opened("clip.wide.csv"))
    assert len(table) == len(POSES)
    np.testing.assert_allclose(table.left_knee_y, [points[13, 1] for *_, points, _ in POSES], atol=0.0051)
    np.testing.assert_allclose(table.nose_score, [scores[0] for *_, scores in POSES], atol=0.00051)
    lines = pandas.read_json(opened("clip.jsonl"), lines=True)
    assert list(lines.frame[1:].astype(int)) == list(range(len(FRAMES)))
    boxes = pandas.read_csv(opened("clip.mot.txt"), header=None)
    assert boxes.shape == (len(POSES), 10)


@pytest.mark.parametrize("name", ["clip.dlc.csv", "clip.dlc.h5"])
def test_deeplabcuts_layout_in_pandas(opened, name: str) -> None:
    pandas = pytest.importorskip("pandas")
    if name.endswith("h5"):
        pytest.importorskip("tables")
    path = opened(name)
    # As DeepLabCut itself reads them.
    table = pandas.read_csv(path, header=[0, 1, 2, 3], index_col=0) if "csv" in name else pandas.read_hdf(path)
    assert list(table.columns.names) == ["scorer", "individuals", "bodyparts", "coords"]
    assert list(table.index) == list(range(len(FRAMES)))
    places = {(index, person): (points, scores) for index, person, points, scores in POSES}
    for index in range(len(FRAMES)):
        for person in (3, 8):
            got = table.loc[index]["vipnas_fast-60fps"][f"person{person}"].to_numpy().reshape(17, 3)
            points, scores = places.get((index, person), (np.full((17, 2), np.nan), np.full(17, np.nan)))
            np.testing.assert_allclose(got[:, :2], points, atol=0.0051)
            np.testing.assert_allclose(got[:, 2], scores, atol=0.00051)


@pytest.mark.parametrize("name", ["clip.dlc.csv", "clip.dlc.h5"])
def test_deeplabcuts_layout_keeps_a_first_frame_without_people(tmp_path: Path, name: str) -> None:
    pandas = pytest.importorskip("pandas")
    if name.endswith("h5"):
        pytest.importorskip("tables")
    output = output_named(tmp_path / name)
    assert output is not None
    with output.open(COCO17, HEADER) as sink:
        for one in FRAMES[2:]:
            sink.write(one, None)
    path = output.path
    table = pandas.read_csv(path, header=[0, 1, 2, 3], index_col=0) if "csv" in name else pandas.read_hdf(path)
    assert (list(table.index), table.index.name) == ([2, 3, 4, 5], None)
    assert set(table.dtypes) == {np.dtype(np.float64)}
    there = table.notna().to_numpy().reshape(4, 2, -1)
    assert there.any(axis=2).tolist() == there.all(axis=2).tolist()
    people = [name.removeprefix("person") for name in table.columns.get_level_values("individuals")[:: 3 * 17]]
    assert there.any(axis=2).tolist() == [[int(one) in ids for one in people] for ids in IDS[2:]]


@pytest.mark.parametrize("name", ["clip.csv", "clip.dlc.csv"])
def test_pandas_reads_whatever_keypoints_are_called(tmp_path: Path, name: str) -> None:
    pandas = pytest.importorskip("pandas")
    names = ('a, "b"', "two\nlines", *NAMES[2:])
    output = output_named(tmp_path / name)
    assert output is not None
    with output.open(Skeleton("own", names, (), (0.0,) * 17), HEADER) as sink:
        sink.write(FRAMES[0], None)
    if name == "clip.csv":
        assert list(pandas.read_csv(output.path).keypoint) == list(names)
        return
    table = pandas.read_csv(output.path, header=[0, 1, 2, 3], index_col=0)
    assert list(table.columns.get_level_values("bodyparts")[::3]) == list(names)
    np.testing.assert_allclose(table.loc[0].to_numpy().reshape(17, 3)[:, :2], POSES[0][2], atol=0.0051)


@pytest.mark.parametrize("name", ["clip.dlc.csv", "clip.dlc.h5"])
def test_movement_reads_deeplabcuts_layout(opened, name: str) -> None:
    load_poses = pytest.importorskip("movement.io.load_poses")
    data = load_poses.from_dlc_file(opened(name), fps=30)
    assert list(data.individuals.values) == ["person3", "person8"]
    assert list(data.keypoints.values) == list(NAMES)
    found = data.position.sel(individuals="person8").transpose("time", "keypoints", "space").values
    places = {(index, person): points for index, person, points, _ in POSES}
    np.testing.assert_allclose(found[[3, 5]], [places[3, 8], places[5, 8]], atol=0.0051)
    assert np.isnan(found[4]).all()


@pytest.mark.parametrize("name", ["clip.json", "clip.posetrack.json"])
def test_pycocotools_indexes_both_documents(opened, name: str) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco.COCO(str(opened(name)))
    assert len(found.imgs) == len(FRAMES)
    assert [row["track_id"] for row in found.anns.values()] == [person for _, person, *_ in POSES]
    if name == "clip.json":
        first = np.array(found.anns[1]["keypoints"]).reshape(17, 3)
        np.testing.assert_allclose(first[:, :2], POSES[0][2], atol=0.0051)
        assert list(first[:, 2]) == [2 if score >= 0.3 else 1 for score in POSES[0][3]]


def test_predictions_of_posetrack_are_matched_with_labels_frame_by_frame(opened, tmp_path: Path) -> None:
    images = [{"id": 70 + index, "file_name": f"images/{index}.jpg"} for index in range(len(FRAMES))]
    person = {"id": 1, "image_id": 70, "track_id": 0, "keypoints": [1, 2, 1] * 17, "bbox_head": [0, 0, 9, 9]}
    category = {"id": 1, "name": "person", "keypoints": list(POSETRACK18_FILE)}
    labels = {"images": images, "annotations": [person], "categories": [category]}
    (tmp_path / "truth.json").write_text(json.dumps(labels))
    assert not prediction_problems(opened("clip.posetrack.json"), tmp_path / "truth.json")
    (found,) = read_predictions(opened("clip.posetrack.json"), read_truth(tmp_path / "truth.json"))
    assert found.frames.tolist() == [index for index, *_ in POSES]
    assert found.track_ids.tolist() == [person for _, person, *_ in POSES]
    points, scores = posetrack15_from_coco17(
        np.stack([points for *_, points, _ in POSES]), np.stack([scores for *_, scores in POSES])
    )
    np.testing.assert_allclose(found.points_frame, points, atol=0.0051)
    np.testing.assert_allclose(found.scores, scores, atol=0.00051)
    assert found.points_frame.shape[1] == len(POSETRACK15.keypoints)


def test_boxes_come_back_as_boxes_of_another_program(opened) -> None:
    found = read_boxes(opened("clip.mot.txt"))
    for one in FRAMES:
        rows = found.get(one.frame_index, np.zeros((0, 5), np.float32))
        np.testing.assert_allclose(rows[:, :4], one.people.boxes_frame, atol=0.011)


def test_motmetrics_reads_the_boxes(opened) -> None:
    motmetrics = pytest.importorskip("motmetrics")
    table = motmetrics.io.loadtxt(str(opened("clip.mot.txt")), fmt="mot16")
    assert list(table.index) == [(index + 1, person) for index, person, *_ in POSES]


def test_openpose_has_a_file_per_frame_with_25_points(opened) -> None:
    files = sorted(opened("clip.openpose").iterdir())
    assert [file.name for file in files] == [f"clip_{index:012d}_keypoints.json" for index in range(len(FRAMES))]
    for one, file in zip(FRAMES, files, strict=True):
        people = json.loads(file.read_text())["people"]
        assert [person["person_id"] for person in people] == [[person] for person in one.people.ids.tolist()]
        for person, points, scores in zip(people, one.people.points_frame, one.people.scores, strict=True):
            body = np.array(person["pose_keypoints_2d"]).reshape(25, 3)
            # Nose, right wrist, left hip, right eye, left ear.
            np.testing.assert_allclose(body[[0, 4, 12, 15, 18], :2], points[[0, 10, 11, 2, 3]], atol=0.00051)
            np.testing.assert_allclose(body[1, :2], points[[5, 6]].mean(0), atol=0.00051)
            np.testing.assert_allclose(body[8], [*points[[11, 12]].mean(0), scores[[11, 12]].min()], atol=0.00051)
            assert not body[19:].any()


def test_pose2sim_reads_the_frames_of_openpose(opened) -> None:
    association = pytest.importorskip("Pose2Sim.personAssociation")
    for one, file in zip(FRAMES, sorted(opened("clip.openpose").iterdir()), strict=True):
        read = np.array(association.read_json(str(file))).reshape(-1, 25, 3)
        np.testing.assert_allclose(read[:, 0, :2], one.people.points_frame[:, 0], atol=0.00051)


def trc_rows(path: Path) -> tuple[list[str], np.ndarray]:
    """The names of a marker file and its numbers, as its columns are laid out."""
    lines = path.read_text().split("\n")
    assert lines[5] == ""
    rate, _, count, markers, units = lines[2].split("\t")[:5]
    assert (rate, units, int(markers)) == ("30", "px", 17)
    rows = np.array([[float(cell) for cell in line.split("\t")] for line in lines[6:-1]])
    assert rows.shape == (int(count), 2 + 3 * 17)
    return [name for name in lines[3].split("\t")[2:] if name], rows


def markers(person: int, index: int) -> np.ndarray:
    """What a marker file holds of a person on a frame (17, 3)."""
    for place, identity, points, scores in POSES:
        if (place, identity) == (index, person):
            unsure = np.where(scores < 0.3, np.nan, 0.0)
            return np.stack([points[:, 0] + unsure, HEIGHT - 1 - points[:, 1] + unsure, unsure], axis=1)
    return np.full((17, 3), np.nan)


@pytest.mark.parametrize(("person", "first", "last"), [(3, 0, 4), (8, 3, 5)])
def test_marker_files_hold_pixels_upwards(opened, person: int, first: int, last: int) -> None:
    folder = opened("clip.trc")
    assert sorted(file.name for file in folder.iterdir()) == ["clip_person3.trc", "clip_person8.trc"]
    names, rows = trc_rows(folder / f"clip_person{person}.trc")
    assert names == list(NAMES)
    np.testing.assert_array_equal(rows[:, 0], np.arange(first, last + 1) + 1)
    np.testing.assert_allclose(rows[:, 1], np.arange(first, last + 1) / 30, atol=1e-6)
    wanted = [markers(person, index).ravel() for index in range(first, last + 1)]
    np.testing.assert_allclose(rows[:, 2:], wanted, atol=0.00051)


def test_opensim_reads_the_markers(opened) -> None:
    opensim = pytest.importorskip("opensim")
    table = opensim.TimeSeriesTableVec3(str(opened("clip.trc") / "clip_person8.trc"))
    assert list(table.getColumnLabels()) == list(NAMES)
    assert (table.getTableMetaDataString("Units"), table.getTableMetaDataString("DataRate")) == ("px", "30")
    found = [[table.getRowAtIndex(row)[joint].to_numpy() for joint in range(17)] for row in range(3)]
    np.testing.assert_allclose(found, [markers(8, index) for index in (3, 4, 5)], atol=0.00051)


def test_pose2sim_reads_the_markers(opened) -> None:
    common = pytest.importorskip("Pose2Sim.common")
    values, numbers, times, names, _ = common.read_trc(str(opened("clip.trc") / "clip_person3.trc"))
    assert (names, list(numbers)) == (list(NAMES), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(values, [markers(3, index).ravel() for index in range(5)], atol=0.00051)
    np.testing.assert_allclose(times, np.arange(5) / 30, atol=1e-6)


@pytest.mark.parametrize("name", ["clip.csv", "clip.wide.csv", "clip.angles.csv"])
def test_the_facts_beside_a_table_are_valid_csvw(opened, name: str) -> None:
    csvw = pytest.importorskip("csvw")
    table = csvw.CSVW(str(opened(name)), validate=True)
    assert table.is_valid
    assert table.common_props["dc:title"] == "Poses of a clip, ü #1.mp4"
    (only,) = table.tables
    columns = [column.name for column in only.tableSchema.columns]
    assert (columns[:3], len(columns)) == (["frame", "time_s", "person"], {"clip.csv": 7}.get(name, len(columns)))
    assert all(isinstance(row["frame"], int) for row in only)
