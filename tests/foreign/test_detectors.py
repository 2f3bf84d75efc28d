"""Our own detector in strangers' clothes: whatever its outputs look like, the import finds the same people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, compose, helper, numpy_helper  # noqa: E402

from vipnas_cli import PoseTracker, read_video  # noqa: E402
from vipnas_cli.bundle.reader import bundled_weights, open_bundle  # noqa: E402
from vipnas_cli.cli.import_network import CellGrid, ImportOptions  # noqa: E402
from vipnas_cli.errors import UsageError, WeightsError  # noqa: E402
from vipnas_cli.foreign import detector_importer, detector_trials  # noqa: E402
from vipnas_cli.foreign.around import BYTES, IMAGENET  # noqa: E402
from vipnas_cli.foreign.detector_graph import grid_cells  # noqa: E402
from vipnas_cli.foreign.detector_importer import add_detector, bundled_with, read_detector  # noqa: E402
from vipnas_cli.foreign.detector_signature import read_input  # noqa: E402
from vipnas_cli.foreign.detector_trials import DetectorGiven  # noqa: E402
from vipnas_cli.foreign.graph_cost import graph_cost  # noqa: E402
from vipnas_cli.foreign.importer import Origin  # noqa: E402
from vipnas_cli.inference.onnx import OnnxDetector  # noqa: E402
from vipnas_cli.inference.people import DetectorSource  # noqa: E402
from vipnas_cli.inference.sessions import RuntimeOptions  # noqa: E402
from vipnas_cli.pose.letterbox import Letterbox  # noqa: E402
from vipnas_cli.synthetic import render_still  # noqa: E402

HEIGHT, WIDTH = 192, 320
CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"
# What our own detector takes, so that colours need no trials.
PLAIN = DetectorGiven("rgb", BYTES)


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_trials, "PICTURES", 8)


class Clothes:
    """The own detector of fixed size behind floats, channels first, and nodes that change its outputs."""

    def __init__(self, foreign_colours: bool = False) -> None:
        detector = open_bundle(bundled_weights()).detector
        assert detector is not None
        self.model = compose.add_prefix(onnx.load_from_string(detector.read()), "own/")
        graph = self.model.graph
        before = [helper.make_node("Transpose", ["input"], ["pixels"], perm=[0, 2, 3, 1])]
        if foreign_colours:
            self.constant("order", np.array([2, 1, 0], np.int64))
            self.constant("std", np.array(IMAGENET.std, np.float32))
            self.constant("mean", np.array(IMAGENET.mean, np.float32))
            before[0].output[0] = "turned"
            before.append(helper.make_node("Gather", ["turned", "order"], ["scaled"], axis=3))
            before.append(helper.make_node("Mul", ["scaled", "std"], ["wide"]))
            before.append(helper.make_node("Add", ["wide", "mean"], ["exact"]))
            before.append(helper.make_node("Round", ["exact"], ["pixels"]))
        before.append(helper.make_node("Cast", ["pixels"], ["own/images"], to=TensorProto.UINT8))
        nodes = list(graph.node)
        del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
        graph.node.extend([*before, *nodes])
        graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH]))
        self.constant("list", np.array([1, -1, 1], np.int64))
        self.constant("four", np.array([1, -1, 4], np.int64))
        self.scores = self.node("Reshape", ["own/scores", "list"])
        self.boxes = self.node("Reshape", ["own/boxes", "four"])

    def constant(self, name: str, values: Any) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}{len(self.model.graph.node)}"
        self.model.graph.node.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def give(self, name: str, value: str, kind: int = TensorProto.FLOAT) -> None:
        self.model.graph.node.append(helper.make_node("Identity", [value], [name]))
        self.model.graph.output.append(helper.make_tensor_value_info(name, kind, None))

    def middles(self) -> str:
        """Boxes as middles and sizes (1, N, 4)."""
        turn = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]], np.float32).T
        return self.node("MatMul", [self.boxes, self.constant("turn", np.ascontiguousarray(turn))])

    def zeros(self) -> str:
        return self.node("Sub", [self.scores, self.scores])


def dets(clothes: Clothes) -> None:
    """mmdeploy: the best boxes with their scores, and their classes."""
    clothes.constant("count", np.array([100], np.int64))
    clothes.model.graph.node.append(
        helper.make_node("TopK", [clothes.scores, "count"], ["best", "places"], axis=1, sorted=1)
    )
    rows = clothes.constant("row", np.array([-1], np.int64))
    places = clothes.node("Reshape", ["places", rows])
    boxes = clothes.node("Gather", [clothes.boxes, places], axis=1)
    clothes.give("dets", clothes.node("Concat", [boxes, "best"], axis=2))
    pair = clothes.constant("pair", np.array([1, -1], np.int64))
    clothes.give(
        "labels", clothes.node("Reshape", [clothes.node("Sub", ["places", "places"]), pair]), TensorProto.INT64
    )


def apart(clothes: Clothes) -> None:
    """Boxes as shares of the picture, scores and classes apart, people being class 1."""
    share = clothes.constant("share", (1 / np.array([WIDTH, HEIGHT] * 2)).astype(np.float32))
    clothes.give("boxes", clothes.node("Mul", [clothes.boxes, share]))
    pair = clothes.constant("pair", np.array([1, -1], np.int64))
    clothes.give("scores", clothes.node("Reshape", [clothes.scores, pair]))
    one = clothes.node("Add", [clothes.zeros(), clothes.constant("one", np.array([1], np.float32))])
    labels = clothes.node("Cast", [clothes.node("Reshape", [one, pair])], to=TensorProto.INT64)
    clothes.give("labels", labels, TensorProto.INT64)


def rows(clothes: Clothes) -> None:
    """YOLO: middle and size, whether anything is there, and two classes."""
    one = clothes.node("Exp", [clothes.zeros()])
    parts = [clothes.middles(), clothes.scores, one, clothes.zeros()]
    clothes.give("output", clothes.node("Concat", parts, axis=2))


def side_by_side(clothes: Clothes) -> None:
    """The same, transposed, with a score for each of two classes alone."""
    table = clothes.node("Concat", [clothes.middles(), clothes.scores, clothes.zeros()], axis=2)
    clothes.give("output0", clothes.node("Transpose", [table], perm=[0, 2, 1]))


def grid(clothes: Clothes) -> None:
    """YOLOX: places within cells and logarithms of sizes, in cells of 8, 16 and 32 pixels; ours has the first."""
    cells = grid_cells(HEIGHT, WIDTH)
    own = cells[cells[:, 2] == 8]
    clothes.constant("cells", np.concatenate([own[None, :, :2], np.zeros((1, len(own), 2), np.float32)], 2))
    half = clothes.node("Mul", [clothes.middles(), clothes.constant("eighth", np.array([1 / 8], np.float32))])
    clothes.constant("ends", np.array([4], np.int64)), clothes.constant("two", np.array([2], np.int64))
    clothes.constant("zero", np.array([0], np.int64)), clothes.constant("axis", np.array([2], np.int64))
    place = clothes.node("Slice", [clothes.node("Sub", [half, "cells"]), "zero", "two", "axis"])
    size = clothes.node("Log", [clothes.node("Slice", [half, "two", "ends", "axis"])])
    one = clothes.node("Exp", [clothes.zeros()])
    table = clothes.node("Concat", [place, size, clothes.scores, one], axis=2)
    others = clothes.constant("others", np.zeros((1, len(cells) - len(own), 6), np.float32))
    clothes.give("output", clothes.node("Concat", [table, others], axis=1))


def saved(clothes: Clothes, path: Path) -> Path:
    onnx.save(clothes.model, str(path))
    return path


@pytest.mark.parametrize(
    ("dress", "form", "person"),
    [(dets, "xyxy", 0), (apart, "xyxy", 1), (rows, "cxcywh", 0), (side_by_side, "cxcywh", 0), (grid, "grid", 0)],
)
def test_the_same_people_are_found(dress: Callable[[Clothes], None], form: str, person: int, tmp_path: Path) -> None:
    clothes = Clothes()
    dress(clothes)
    found = read_detector(saved(clothes, tmp_path / "d.onnx"), Origin("d"), PLAIN)
    how = found.understood.conventions
    assert (how.reading.form, how.reading.person, how.letterbox) == (form, person, Letterbox.fixed(HEIGHT, WIDTH))
    bundled_with(found, tmp_path / "d.vipnas")
    bundle = open_bundle(tmp_path / "d.vipnas")
    own = open_bundle(bundled_weights()).detector
    assert bundle.detector is not None
    assert own is not None
    assert bundle.detector.verifier is None
    assert abs(bundle.detector.macs / (own.macs * HEIGHT * WIDTH / own.letterbox.side**2) - 1) < 0.01
    # The cost is that of the file that runs.
    runs = onnx.load_from_string(bundle.detector.read())
    assert bundle.detector.macs == graph_cost(runs, {"images": np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)}).macs
    picture = render_still(np.random.default_rng(4), HEIGHT, WIDTH).image
    runtime = RuntimeOptions(1)
    scores, boxes = OnnxDetector(own, runtime).detect(picture)
    keep = scores > 0.3
    theirs, their_boxes = DetectorSource(OnnxDetector(bundle.detector, runtime), 0.3**how.power).boxes(picture, 0)[::-1]
    best = scores[keep].argmax()
    assert theirs[0] == pytest.approx(scores[keep][best] ** how.power, abs=1e-4)
    shared = np.abs(boxes[keep][best] - their_boxes[0])
    assert shared.max() < 6, "votes of neighbouring cells move edges a little"


def test_the_normalisation_is_found_and_people_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clothes, out = Clothes(foreign_colours=True), tmp_path / "both.vipnas"
    dets(clothes)
    found = read_detector(saved(clothes, tmp_path / "d.onnx"), Origin("theirs", "a test", "CC0-1.0"))
    how = found.understood.conventions
    # Our detector learned with so many colours that it hardly minds their order.
    assert how.normalisation == IMAGENET
    assert found.understood.found > 0.5
    bundled_with(found, out)
    first = open_bundle(out)
    assert first.detector is not None
    facts = {entry.key: entry.value for entry in onnx.load_from_string(first.detector.read()).metadata_props}
    assert (facts["vipnas.licence"], json.loads(facts["vipnas.imported"])["source"]) == ("CC0-1.0", "a test")
    # Another one takes its place, and nothing of it stays.
    add_detector(read_detector(tmp_path / "d.onnx", Origin("again"), DetectorGiven("bgr", IMAGENET)), out)
    second = open_bundle(out).detector
    assert second is not None
    assert "again" in second.path.name
    assert len(first.pipelines) == len(open_bundle(out).pipelines)
    with pytest.raises(WeightsError, match="holds no"):
        first.detector.read()
    tracker = PoseTracker(weights=out, threads=1)
    with read_video(CLIP, end_s=0.2) as video:
        counts = [len(tracker(frame.image, frame.time_s)) for frame in video]
    assert max(counts) == 2
    # What fails before the manifest is written leaves a folder as it was, also with a file of the same name.
    bundled_with(found, tmp_path / "folder")
    kept = open_bundle(tmp_path / "folder").detector
    monkeypatch.setattr(detector_importer, "write_json", _no_space)
    with pytest.raises(OSError, match="No space"):
        add_detector(replace(found, origin=Origin("theirs", "elsewhere")), tmp_path / "folder")
    assert open_bundle(tmp_path / "folder").detector == kept
    assert kept is not None
    assert kept.read()


def _no_space(_path: Path, _data: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_is_no_detector_is_told_with_what_was_found(tmp_path: Path) -> None:
    clothes = Clothes()
    clothes.give("total", clothes.node("ReduceSum", [clothes.scores]))
    with pytest.raises(WeightsError, match=r"the outputs of d.onnx are total 1x1x1"):
        read_detector(saved(clothes, tmp_path / "d.onnx"), Origin("d"), PLAIN)
    clothes = Clothes()
    clothes.give("boxes", clothes.boxes)
    clothes.give("scores", clothes.zeros())
    with pytest.raises(WeightsError, match=r"has an average precision of 0.00 on synthetic people"):
        read_detector(saved(clothes, tmp_path / "d.onnx"), Origin("d"), PLAIN)
    clothes.model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1, 2]))
    with pytest.raises(WeightsError, match="d has 2 inputs: input, scale"):
        read_input(clothes.model, "d")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ImportOptions(), "nothing to import"),
        (ImportOptions(Path("pose.onnx"), Path("d.onnx"), into=Path("x.vipnas")), "--into is for a detector alone"),
        (ImportOptions(Path("pose.onnx"), threshold=0.5), "--threshold has no use without --detector"),
        (ImportOptions(detector=Path("d.onnx"), grid=CellGrid.corner), "--grid has no use without a pose network"),
    ],
)
def test_options_without_a_use_are_refused(options: ImportOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options.check()
