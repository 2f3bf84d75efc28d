"""`vipnas run` on the bundled clip with the bundled weights, against the clip's exact truth."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.spec import Budget
from vipnas_cli.spec.budget import taken_within

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIP = EXAMPLES / "two_people.mp4"
BODY = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]


def vipnas(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=300)


def budgets() -> dict[str, str]:
    """The bundled pipelines that some budget takes, and one that does."""
    pipelines = open_bundle(bundled_weights()).pipelines
    taken = taken_within(
        pipelines, lambda p: p.macs_per_person_frame, lambda p: p.selection, lambda p: p.selection_error
    )
    return {one.entry.name: f"{one.limit / 1e6 + 0.1}MMACs" for one in taken}


PIPELINES = budgets()


@pytest.fixture(scope="module", params=list(PIPELINES))
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The results of one run of a bundled pipeline, and its summary in summary.json."""
    path = tmp_path_factory.mktemp("run")
    outputs = ("-o", "out.mp4", "-o", "out.csv", "-o", "out.jsonl", "-o", "out.json")
    result = vipnas(
        "run", str(CLIP), "--budget", PIPELINES[request.param], *outputs, "--steadiness", "--json", cwd=path
    )
    (path / "summary.json").write_text(result.stdout)
    return path


@pytest.fixture(scope="module")
def truth() -> list[dict]:
    return [json.loads(line) for line in (EXAMPLES / "two_people_truth.jsonl").read_text().splitlines()]


def rows_by_frame(folder: Path) -> dict[int, dict[int, np.ndarray]]:
    """Keypoints (17, 3) by frame and person."""
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found: dict[int, dict[int, list]] = {}
    for row in rows:
        people = found.setdefault(int(row["frame"]), {})
        people.setdefault(int(row["person"]), []).append([float(row[name]) for name in ("x", "y", "score")])
    return {frame: {p: np.array(v) for p, v in people.items()} for frame, people in found.items()}


def timestamps(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def test_the_video_keeps_frames_and_times(folder: Path) -> None:
    assert timestamps(folder / "out.mp4") == pytest.approx(timestamps(CLIP), abs=1e-6)


def test_the_summary_counts_the_frames_and_stays_within_the_budget(folder: Path, truth: list[dict]) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["schema"] == 1
    assert summary["frames"] == len(truth)
    assert 0 < summary["stated_macs_per_person_frame"] <= 0.5e9
    # What is really spent comes on top of the cycle, and is told where that is above the budget.
    spent, budget = summary["macs_per_person_frame"], Budget.parse(summary["budget"])
    assert summary["stated_macs_per_person_frame"] <= 1.01 * spent
    assert summary["over_budget"] == pytest.approx(max(0.0, spent / budget.value - 1), abs=1e-3)


def errors_by_person(folder: Path, truth: list[dict]) -> dict[int, list[tuple[int, np.ndarray]]]:
    """For each true person: the id that is nearest and its body-joint errors as shares of the box height, per frame."""
    found, result = rows_by_frame(folder), {}
    for frame in truth:
        for person in frame["people"]:
            keypoints = np.array(person["keypoints"])
            seen = [joint for joint in BODY if keypoints[joint, 2] == 2]
            people = found.get(frame["frame"], {})
            if len(seen) < 6 or not people:
                continue
            distances = {
                identity: np.linalg.norm(pose[seen, :2] - keypoints[seen, :2], axis=1)
                for identity, pose in people.items()
            }
            nearest = min(distances, key=lambda identity: float(np.median(distances[identity])))
            height = person["box"][3] - person["box"][1]
            result.setdefault(person["id"], []).append((nearest, distances[nearest] / height))
    return result


def usual_id(rows: list[tuple[int, np.ndarray]]) -> int:
    """The id that is nearest to a person on most frames."""
    found = [row[0] for row in rows]
    return max(set(found), key=found.count)


def test_keypoints_are_near_the_truth(folder: Path, truth: list[dict]) -> None:
    for rows in errors_by_person(folder, truth).values():
        # Where someone is hidden and not found, the nearest pose is another's: that is for the test of ids.
        errors = np.concatenate([row[1] for row in rows if row[0] == usual_id(rows)])
        assert np.median(errors) < 0.03
        # The mean holds the frames on which left and right are exchanged.
        assert np.mean(np.minimum(errors, 0.5)) < 0.09
        assert len(rows) > 0.85 * len(truth)


def test_everyone_keeps_one_id(folder: Path, truth: list[dict]) -> None:
    people = errors_by_person(folder, truth)
    usual = {person: usual_id(rows) for person, rows in people.items()}
    assert len(set(usual.values())) == len(usual)
    for person, rows in people.items():
        assert [row[0] for row in rows].count(usual[person]) > 0.95 * len(rows)


@pytest.mark.parametrize("folder", list(PIPELINES)[-2:], indirect=True)
def test_nobody_has_a_second_pose_where_the_two_cross(folder: Path) -> None:
    assert json.loads((folder / "summary.json").read_text())["people"] == 2


def test_json_lines_agree_with_the_table(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert lines[0]["schema"] == 1
    rows = rows_by_frame(folder)
    for frame in lines[1:]:
        assert sorted(person["id"] for person in frame["people"]) == sorted(rows.get(frame["frame"], {}))


def test_the_coco_file_agrees_with_the_table(folder: Path) -> None:
    document = json.loads((folder / "out.json").read_text())
    rows = rows_by_frame(folder)
    assert [image["frame_id"] for image in document["images"]] == list(range(175))
    assert len(document["annotations"]) == sum(len(people) for people in rows.values())
    for row in document["annotations"]:
        values = np.array(row["keypoints"]).reshape(17, 3)
        np.testing.assert_allclose(values[:, :2], rows[row["image_id"] - 1][row["track_id"]][:, :2], atol=0.011)


def test_the_summary_tells_how_long_everyone_was_seen(folder: Path) -> None:
    summary, rows = json.loads((folder / "summary.json").read_text()), rows_by_frame(folder)
    ids = {person for people in rows.values() for person in people}
    seen = {str(person): sum(person in people for people in rows.values()) for person in ids}
    assert summary["frames_by_person"] == seen
    assert summary["people"] == len(seen)


def test_a_video_without_people_says_what_to_try(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "empty.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        grey = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 114, np.uint8), format="rgb24")
        container.mux([*stream.encode(grey), *stream.encode(None)])
    result = vipnas("run", "empty.mp4", "-o", "out.csv", cwd=tmp_path)
    assert "--boxes whole" in result.stderr
    assert not rows_by_frame(tmp_path)


@pytest.mark.parametrize("folder", list(PIPELINES)[-1:], indirect=True)
def test_eval_measures_the_steadiness_that_a_run_tells(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    result = vipnas("eval", "steadiness", str(CLIP), "--budget", list(PIPELINES.values())[-1], "--json", cwd=folder)
    (measured,) = json.loads(result.stdout)["clips"]
    assert measured == {"clip": str(CLIP), "pipeline": summary["pipeline"], **summary["steadiness"]}
    assert 0 < summary["steadiness"]["steps"] <= sum(summary["frames_by_person"].values()) - summary["people"]


def test_boxes_are_verified_unless_told_otherwise(tmp_path: Path) -> None:
    found = []
    for option in ("--verify", "--no-verify"):
        options = ("--end", "1", option, "-o", f"{option}.csv", "--json")
        found.append(json.loads(vipnas("run", str(CLIP), *options, cwd=tmp_path).stdout))
    verified, alone = found
    assert verified["boxes_verified"] > alone["boxes_verified"] == 0
    # Both people are there before and after.
    assert verified["people"] == alone["people"] == 2
    bundle = open_bundle(bundled_weights())
    assert bundle.detector is not None
    assert bundle.detector.verifier is not None
    for summary in found:
        looked = summary["looks_for_people"] * bundle.detector.macs_for(summary["height"], summary["width"])
        verifying = summary["crops_verified"] * bundle.detector.verifier.macs
        assert summary["detector_macs_per_frame"] == round((looked + verifying) / summary["frames"])


def test_what_did_not_run_and_what_was_not_checked_has_no_figure(tmp_path: Path) -> None:
    options = ("--boxes", "whole", "--no-verify", "--end", "0.5", "-o", "out.csv", "--overwrite", "--json")
    for budget, checked in (("1000ms", False), ("0.1fps", False), ("0.2GFLOPs", True)):
        summary = json.loads(vipnas("run", str(CLIP), "--budget", budget, *options, cwd=tmp_path).stdout)
        assert (summary["over_budget"] is not None) == checked
        assert summary["looks_for_people"] == 0 < summary["key_frames"]


def test_without_options_video_and_table_go_to_the_current_folder(tmp_path: Path) -> None:
    result = vipnas("run", str(CLIP), "--end", "0.5", cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("two_people_pose.csv", "two_people_pose.csv-metadata.json", "two_people_pose.mp4")
    ]
    assert "two_people_pose.csv" in result.stderr
    assert "default" in result.stderr
    assert result.stdout == ""


def test_a_table_can_go_to_stdout(tmp_path: Path) -> None:
    result = vipnas("run", str(CLIP), "--end", "0.2", "-o", "-", "--quiet", cwd=tmp_path)
    lines = [line for line in result.stdout.splitlines() if not line.startswith("#")]
    assert lines[0] == "frame,time_s,person,keypoint,x,y,score"
    assert list(tmp_path.iterdir()) == []


def test_two_runs_give_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    budget = PIPELINES[json.loads((folder / "summary.json").read_text())["pipeline"]]
    vipnas("run", str(CLIP), f"--budget={budget}", "--end=1", "-o", "again.csv", "--quiet", cwd=tmp_path)
    again = (tmp_path / "again.csv").read_text().splitlines()
    assert len(again) > 25 * 17
    assert again == (folder / "out.csv").read_text().splitlines()[: len(again)]
