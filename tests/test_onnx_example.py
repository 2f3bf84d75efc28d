"""The example that runs a bundle with onnxruntime, numpy and cv2 only gives the poses of `vipnas run`."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from vipnas_cli.api import read_video, track
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.inference import tracker
from vipnas_cli.inference.propagation import PropagationOptions

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAM = EXAMPLES / "onnx_pipeline.py"
FRAMES, RATE, START_S = 10, 25, 5
# Pixels of the frame that a cell of a heatmap covers there, at most.
CELL = 6


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("onnx_pipeline")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of the bundled clip on which nothing asks for an early key frame, and the boxes of one person."""
    path = tmp_path_factory.mktemp("clip")
    with (
        read_video(EXAMPLES / "two_people.mp4", START_S, START_S + FRAMES / RATE) as video,
        av.open(str(path / "clip.mp4"), "w") as container,
    ):
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = video.info.width, video.info.height, "yuv420p"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, "rgb24")))
        container.mux(stream.encode(None))
    truth = (EXAMPLES / "two_people_truth.jsonl").read_text().splitlines()[START_S * RATE :][:FRAMES]
    rows = ["frame,x,y,width,height"]
    for number, line in enumerate(truth):
        x0, y0, x1, y1 = json.loads(line)["people"][1]["box"]
        rows.append(f"{number},{x0},{y0},{x1 - x0},{y1 - y0}")
    (path / "boxes.csv").write_text("\n".join(rows) + "\n")
    return path


def only(pipeline: str, folder: Path) -> Path:
    """A folder of the bundled pipelines in which all but one are missing."""
    for path in bundled_weights().glob("*.onnx"):
        shutil.copy(path, folder)
    manifest = json.loads((bundled_weights() / "manifest.json").read_text())
    manifest["pipelines"] = [row for row in manifest["pipelines"] if row["name"] == pipeline]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_it_needs_nothing_else() -> None:
    tree = ast.parse(PROGRAM.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported - set(sys.stdlib_module_names) == {"cv2", "numpy", "onnxruntime"}


@pytest.mark.parametrize("pipeline", ["pyramid-256-cycle4", "pyramid-224-cycle4-light"])
def test_its_poses_are_those_of_run(
    example: ModuleType, folder: Path, pipeline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one part of following that the example leaves out.
    monkeypatch.setattr(tracker, "PropagationOptions", partial(PropagationOptions, steady_joints=False))
    weights = only(pipeline, tmp_path)
    (found,) = open_bundle(weights).pipelines
    # No more, so that nothing is left for shorter cycles.
    budget = f"{found.macs_per_person_frame / 1e6 + 0.1}MMACs"
    cycle, boxes = example.Cycle(bundled_weights(), pipeline, RATE), example.boxes_of(folder / "boxes.csv")
    moved, scores = [], []
    frames = track(folder / "clip.mp4", budget, weights=weights, boxes=folder / "boxes.csv")
    for number, (frame, _, people) in enumerate(frames):
        pose = cycle.pose(frame, boxes[number])
        moved.append(np.linalg.norm(pose.points - people.points_frame[0], axis=-1))
        scores.append(np.abs(pose.scores - people.scores[0]))
    assert len(moved) == FRAMES
    # At first equal to the last digits. From frame to frame these grow, until they decide between two neighbouring
    # cells that are as high as each other.
    assert max(map(np.max, moved[:3])) < 0.01
    assert np.mean(np.array(moved) < 0.1) > 0.97
    assert np.max(moved) < CELL
    assert np.max(scores) < 0.02


@pytest.mark.parametrize(
    ("pipeline", "video", "boxes", "what"),
    [
        ("nothing", "clip.mp4", "boxes.csv", "no pipeline nothing, but .*pyramid-256-cycle4"),
        ("pyramid-256-cycle4", "nowhere.mp4", "boxes.csv", "nowhere.mp4 cannot be opened"),
        ("pyramid-256-cycle4", "clip.mp4", "few.csv", "few.csv has no box in frame 4, a key frame: poses.csv ends"),
    ],
)
def test_what_is_missing_is_told(
    example: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, video: str, boxes: str, what: str
) -> None:
    monkeypatch.chdir(folder)
    Path("few.csv").write_text("".join(Path("boxes.csv").read_text().splitlines(keepends=True)[:5]))
    words = ["onnx_pipeline", str(bundled_weights()), pipeline, video, boxes, "-o", "poses.csv"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match=what):
        example.main()


def test_the_program_writes_the_same_table(folder: Path) -> None:
    outputs = [sys.executable, str(PROGRAM), str(bundled_weights()), "pyramid-256-cycle4"]
    subprocess.run([*outputs, "clip.mp4", "boxes.csv", "-o", "poses.csv"], cwd=folder, check=True, timeout=60)
    rows = (folder / "poses.csv").read_text().splitlines()
    assert rows[0] == "frame,keypoint,x,y,score"
    assert len(rows) == 1 + FRAMES * 17
