"""A network of our own in a stranger's clothes: whatever is put around it, the import takes off again."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, compose, helper, numpy_helper  # noqa: E402

from vipnas_cli.bundle.reader import bundled_weights, open_bundle  # noqa: E402
from vipnas_cli.errors import SpecError, WeightsError  # noqa: E402
from vipnas_cli.evaluation.clip_sets import ClipSet, ClipSets  # noqa: E402
from vipnas_cli.evaluation.ranking import Rank  # noqa: E402
from vipnas_cli.foreign import conventions, importer  # noqa: E402
from vipnas_cli.foreign.around import BYTES, IMAGENET  # noqa: E402
from vipnas_cli.foreign.conventions import Given, Understood, understand  # noqa: E402
from vipnas_cli.foreign.graph_cost import graph_cost  # noqa: E402
from vipnas_cli.foreign.importer import Origin, follower_sets, import_network  # noqa: E402
from vipnas_cli.foreign.pose_graph import (  # noqa: E402
    Conventions,
    Grid,
    cell_centres,
    resampling,
    wrapped,
)
from vipnas_cli.foreign.signature import load_foreign, open_foreign, read_signature  # noqa: E402
from vipnas_cli.inference.onnx import OnnxEstimator  # noqa: E402
from vipnas_cli.inference.sessions import RuntimeOptions  # noqa: E402
from vipnas_cli.pose import CropTransform, HeatmapCodec  # noqa: E402
from vipnas_cli.spec import FusionSpec, ImportedSpec, Plan, Schedule  # noqa: E402
from vipnas_cli.spec.cost import plan_cost  # noqa: E402
from vipnas_cli.synthetic import render_still  # noqa: E402

HEIGHT, WIDTH = 224, 160


@pytest.fixture(scope="module")
def own() -> Any:
    """The bundled key network of 224×160: RGB bytes, channels last, cells at their centres."""
    pipeline = next(p for p in open_bundle(bundled_weights()).pipelines if p.name == "pyramid-224-cycle2")
    return onnx.load_from_string(pipeline.networks[0].read())


def crops(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def people(count: int = 4) -> np.ndarray:
    """Crops of synthetic people."""
    generator, found = np.random.default_rng(5), []
    for _ in range(count):
        still = render_still(generator, 320, 320)
        found.append(CropTransform.from_box(still.boxes_frame[0], HEIGHT, WIDTH).warp(still.image))
    return np.stack(found)


def heatmaps_of(model: Any, images: np.ndarray) -> np.ndarray:
    found: np.ndarray = open_foreign(model).run(["heatmaps"], {"images": images})[0]
    return found


def dressed(own: Any, people: int | str = "people", extra: int = 0) -> Any:
    """The network as a publisher would give it: floats, channels first, BGR, ImageNet's mean and deviation.

    `extra` keypoints follow the 17 of COCO.
    """
    model = compose.add_prefix(own, "own/")
    constants = {
        "std": np.array(IMAGENET.std, np.float32),
        "mean": np.array(IMAGENET.mean, np.float32),
        "order": np.array([2, 1, 0], np.int64),
    }
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    before = [
        helper.make_node("Transpose", ["input"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Gather", ["last", "order"], ["rgb"], axis=3),
        helper.make_node("Mul", ["rgb", "std"], ["wide"]),
        helper.make_node("Add", ["wide", "mean"], ["bytes"]),
        helper.make_node("Round", ["bytes"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["own/images"], to=TensorProto.UINT8),
    ]
    nodes = list(model.graph.node)
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend([*before, *nodes])
    model.graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, [people, 3, HEIGHT, WIDTH]))
    outputs = ["own/heatmaps"] * (1 + (extra > 0))
    model.graph.node.append(helper.make_node("Concat", outputs, ["output"], axis=1))
    shape = [people, 17 * len(outputs), HEIGHT // 4, WIDTH // 4]
    model.graph.output.append(helper.make_tensor_value_info("output", TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    return model


def as_simcc(own: Any) -> Any:
    """The network with the two profiles of its heatmaps as outputs, in the order y, x."""
    model = onnx.ModelProto()
    model.CopyFrom(own)
    del model.graph.output[:]
    for name, axis, bins in (("simcc_y", 3, HEIGHT // 4), ("simcc_x", 2, WIDTH // 4)):
        model.graph.node.append(helper.make_node("ReduceMax", ["heatmaps"], [name], axes=[axis], keepdims=0))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["people", 17, bins]))
    onnx.checker.check_model(model)
    return model


def test_resampling_our_own_grid_changes_nothing() -> None:
    np.testing.assert_allclose(resampling("centre", 48, 192), np.eye(48), atol=1e-6)


@pytest.mark.parametrize("grid", ["corner", "centre", "edges"])
@pytest.mark.parametrize("place", [40.0, 71.3, 100.75])
def test_a_peak_stays_at_its_pixel(grid: Grid, place: float) -> None:
    centres = cell_centres(grid, 64, 256)
    bump = np.exp(-((centres - place) ** 2) / (2 * 8.0**2))
    ours = resampling(grid, 64, 256) @ bump
    codec = HeatmapCodec(256, 256)
    points, _ = codec.decode(np.outer(ours, ours)[None, None].astype(np.float32))
    np.testing.assert_allclose(points[0, 0], place, atol=0.1)
    assert ours.max() == pytest.approx(1, abs=0.06)


def test_what_was_put_around_a_network_is_found_and_taken_off(own: Any) -> None:
    model = dressed(own)
    signature = read_signature(model, "stranger")
    assert (signature.head, signature.height, signature.width, signature.people) == ("heatmaps", HEIGHT, WIDTH, True)
    found = understand(model, signature, "stranger")
    assert (found.conventions.colour, found.conventions.normalisation) == ("bgr", IMAGENET)
    # Its grid is symmetric, so that it is not taken for one that begins in the corner.
    assert found.conventions.grid == "edges"
    assert found.found > 0.6
    stated = replace(found.conventions, grid="centre")
    np.testing.assert_allclose(
        heatmaps_of(wrapped(model, signature, stated), crops()), heatmaps_of(own, crops()), atol=1e-4
    )


def test_a_grid_that_begins_in_the_corner_is_recognised(own: Any) -> None:
    model = dressed(own)
    signature = read_signature(model, "stranger")
    # Places of a network trained on such a grid lie 1.5 pixels lower and further right than its cells say to us.
    shifted = dressed(own)
    for node in shifted.graph.node:
        if node.output[0] == "output":
            node.output[0] = "ours"
    rows, columns = (
        np.linalg.pinv(resampling("corner", n, 4 * n)).astype(np.float32) for n in (HEIGHT // 4, WIDTH // 4)
    )
    shifted.graph.initializer.append(numpy_helper.from_array(rows, "rows"))
    shifted.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(columns.T), "columns"))
    shifted.graph.node.append(helper.make_node("MatMul", ["rows", "ours"], ["tall"]))
    shifted.graph.node.append(helper.make_node("MatMul", ["tall", "columns"], ["output"]))
    assert understand(shifted, signature, "corner", Given("bgr", IMAGENET)).conventions.grid == "corner"
    assert understand(model, signature, "edges", Given("bgr", IMAGENET)).conventions.grid == "edges"


def test_what_is_given_is_not_tried(own: Any) -> None:
    model = dressed(own)
    found = understand(model, read_signature(model, "stranger"), "stranger", Given("bgr", IMAGENET, "corner"))
    assert not found.others
    assert found.conventions.grid == "corner"


def test_the_padding_is_that_in_which_keypoints_are_placed_best(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dressed(own)
    signature, wanted = read_signature(model, "stranger"), 1.15

    def found(*given: Any) -> float:
        """Highest for people of the size in which they fill the crop, less the padding."""
        return 1 - abs(float(given[3].sizes.max()) / HEIGHT - 1 / wanted)

    monkeypatch.setattr(conventions, "_found", found)
    assert understand(model, signature, "net", Given("bgr", IMAGENET, "centre")).conventions.padding == wanted
    stated = understand(model, signature, "net", Given("bgr", IMAGENET, "centre", 1.3))
    assert stated.conventions.padding == 1.3


def test_simcc_gives_the_same_places(own: Any) -> None:
    model = as_simcc(own)
    signature = read_signature(model, "simcc")
    assert signature.head == "simcc"
    assert signature.outputs == ("simcc_x", "simcc_y")
    drawn = heatmaps_of(wrapped(model, signature, Conventions("rgb", BYTES, "centre")), people())
    straight = heatmaps_of(own, people())
    codec = HeatmapCodec(HEIGHT, WIDTH)
    (points, _), (expected, _) = codec.decode(drawn), codec.decode(straight)
    peak, column = straight.max((2, 3)), straight.max(2).argmax(-1)
    # Where one peak rules, its profiles tell its place; two hills can trade their columns and rows.
    alone = (peak > 0.1) & (straight.reshape(*peak.shape, -1).argmax(-1) % (WIDTH // 4) == column)
    assert alone.any()
    assert np.median(np.abs(points - expected)[alone]) < 1
    np.testing.assert_allclose(drawn.max((2, 3))[alone], peak[alone], rtol=0.05)


def test_simcc_is_drawn_as_the_gaussians_that_its_bins_mean() -> None:
    """A network as RTMPose is, two bins for each pixel, that says of any crop where each keypoint is and how surely."""
    generator = np.random.default_rng(8)
    sizes = {"simcc_x": WIDTH, "simcc_y": HEIGHT}
    bins = {name: generator.integers(0, 2 * size, 17) for name, size in sizes.items()}
    heights = {name: generator.uniform(0.2, 1, 17).astype(np.float32) for name in sizes}
    constants, nodes = [], [helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Sub", ["mean", "mean"], ["nothing"]))
    nodes.append(helper.make_node("Unsqueeze", ["nothing", "axes"], ["zero"]))
    constants.append(numpy_helper.from_array(np.array([1, 2], np.int64), "axes"))
    for name, size in sizes.items():
        table = np.zeros((1, 17, 2 * size), np.float32)
        table[0, np.arange(17), bins[name]] = heights[name]
        constants.append(numpy_helper.from_array(table, f"{name}_table"))
        nodes.append(helper.make_node("Add", ["zero", f"{name}_table"], [name]))
    shapes = {"input": ["people", 3, HEIGHT, WIDTH], **{n: ["people", 17, 2 * size] for n, size in sizes.items()}}
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()}
    graph = helper.make_graph(nodes, "simcc", [values["input"]], [values[n] for n in sizes], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    drawn = heatmaps_of(wrapped(model, read_signature(model, "simcc"), Conventions("rgb", IMAGENET, "corner")), crops())
    sides = []
    for name, size in sizes.items():
        places, centres = bins[name] / 2, 4 * np.arange(size // 4) + 1.5
        bumps = np.exp(-((centres - places[:, None]) ** 2) / (2 * (HEIGHT / 32) ** 2))
        sides.append(bumps / bumps.max(1, keepdims=True) * np.sqrt(heights[name])[:, None])
    np.testing.assert_allclose(drawn, np.broadcast_to(sides[1][:, :, None] * sides[0][:, None], drawn.shape), atol=1e-4)


def test_more_keypoints_than_coco_has_are_left_out(own: Any) -> None:
    model = dressed(own, extra=17)
    signature = read_signature(model, "whole body")
    assert signature.keypoints == 34
    assert heatmaps_of(wrapped(model, signature, Conventions("bgr", IMAGENET, "centre")), crops()).shape[1] == 17


def test_a_network_of_one_crop_serves_several_people(own: Any, tmp_path: Path) -> None:
    path = tmp_path / "single.onnx"
    onnx.save(dressed(own, people=1), str(path))
    imported = import_network(path, tmp_path / "single", Origin("single"), given=Given("bgr", IMAGENET, "centre"))
    assert not imported.signature.people
    estimator = OnnxEstimator(imported.pipelines[0], RuntimeOptions(1))
    np.testing.assert_allclose(estimator.estimate(0, crops(), None), heatmaps_of(own, crops()), atol=1e-4)


def test_a_file_that_is_read_in_two_ways_is_two_networks(
    own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(dressed(own), str(path))
    monkeypatch.setattr(importer, "score_pipeline", lambda *_: Rank(50.0, 1.0))
    monkeypatch.setattr(importer, "clip_sets", lambda *_: ClipSets(ClipSet((), {}, ""), ClipSet((), {}, "")))
    monkeypatch.setattr(importer, "follower_sets", lambda: {"": ()})
    monkeypatch.setattr(
        importer, "understand", lambda *given: Understood(Conventions(padding=given[-1].padding), 0.9, ())
    )
    names = []
    for padding in (1.1, 1.25, 1.25):
        out, given = tmp_path / f"bundle{len(names)}", Given(padding=padding)
        (pipeline,) = import_network(path, out, Origin("mine"), given=given).pipelines
        assert pipeline.networks[0].read()
        names.append(pipeline.networks[0].path.name)
    assert names[0] != names[1] == names[2]


def test_an_imported_bundle_says_what_it_is_and_runs_with_all_followers(own: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "net.onnx", tmp_path / "net.vipnas"
    onnx.save(dressed(own), str(path))
    origin = Origin("net", "a test", "CC0-1.0")
    imported = import_network(path, out, origin, given=Given("bgr", IMAGENET, "centre"))
    bundle = open_bundle(out)
    assert [p.name for p in bundle.pipelines] == [f"net{label}" for label in follower_sets()]
    assert {len(p.networks) for p in bundle.pipelines} >= {1, 2, 4, 8}
    key = bundle.pipelines[0].networks[0]
    assert isinstance(key.plan.arch, ImportedSpec)
    assert key.macs == plan_cost(key.plan).macs == imported.spec.macs
    # The cost is that of the file that runs, with the products that resample the heatmaps.
    assert key.macs == graph_cost(onnx.load_from_string(key.read()), {"images": crops(1)}).macs
    rows, columns = HEIGHT // 4, WIDTH // 4
    assert key.macs == graph_cost(own, {"images": crops(1)}).macs + 17 * rows * columns * (rows + columns)
    facts = {entry.key: entry.value for entry in onnx.load_from_string(key.read()).metadata_props}
    assert (facts["vipnas.licence"], json.loads(facts["vipnas.imported"])["source"]) == ("CC0-1.0", "a test")
    for pipeline in bundle.pipelines:
        estimator = OnnxEstimator(pipeline, RuntimeOptions(1))
        heatmaps = estimator.estimate(0, crops(), None)
        assert heatmaps.shape == (3, 17, HEIGHT // 4, WIDTH // 4)
        # Followers that never saw this key network follow it all the same.
        assert pipeline.scores["synthetic_PCK@0.1"] > 50
    # Ranks say what followers lose on real clips, which synthetic ones do not show.
    ranked = [p for p in open_bundle(bundled_weights()).pipelines if "selection_key" in p.scores]
    kept = {p.networks[1:]: p.selection / p.scores["selection_key"] for p in ranked}
    shares = {tuple(network.sha256 for network in followers): share for followers, share in kept.items()}
    for pipeline in bundle.pipelines[1:]:
        share = pipeline.selection / bundle.pipelines[0].selection
        assert share == pytest.approx(shares[tuple(network.sha256 for network in pipeline.networks[1:])], abs=0.02)


def test_the_cost_of_a_graph_is_that_of_its_layers(own: Any) -> None:
    pipeline = next(p for p in open_bundle(bundled_weights()).pipelines if p.name == "pyramid-224-cycle2")
    assert graph_cost(own, {"images": crops(1)}).macs == pipeline.networks[0].macs


def test_what_is_no_pose_network_is_told_with_what_was_found(own: Any) -> None:
    with pytest.raises(WeightsError, match="is no ONNX file"):
        load_foreign(b"no network", "file")
    model = onnx.ModelProto()
    model.CopyFrom(own)
    model.graph.node.append(helper.make_node("GlobalMaxPool", ["heatmaps"], ["top"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("top", TensorProto.FLOAT, None))
    with pytest.raises(WeightsError, match="the outputs of file are top 1x17x1x1"):
        read_signature(model, "file")
    # Keypoints in another order are nobody's.
    shuffled = dressed(own)
    shuffled.graph.initializer.append(numpy_helper.from_array(np.arange(17)[::-1].copy(), "turned"))
    shuffled.graph.node.append(helper.make_node("Gather", ["output", "turned"], ["others"], axis=1))
    del shuffled.graph.output[:]
    shuffled.graph.output.append(helper.make_tensor_value_info("others", TensorProto.FLOAT, None))
    with pytest.raises(WeightsError, match="of the keypoints of synthetic people"):
        understand(shuffled, read_signature(shuffled, "file"), "file")


def without_padding(schedule: Schedule) -> Any:
    """The only plan as bundles told it before crops differed."""
    plan = schedule.to_json()["plans"][0]
    del plan["arch"]["padding"]
    return plan


def test_imported_specs_travel_and_can_only_be_key_frames() -> None:
    spec = ImportedSpec("net", 256, 192, 300_000_000, 1_300_000, "0" * 64)
    schedule = Schedule((Plan(spec),))
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule
    assert replace(spec, macs=1).key != spec.key
    with pytest.raises(SpecError, match="fusion must be none"):
        Plan(spec, FusionSpec("add", 1))
    with pytest.raises(SpecError, match="not built or varied"):
        _ = Plan(spec).built
    assert Schedule.from_json({"plans": [without_padding(schedule)]}) == schedule
    wrong = (("height", 30), ("name", "../x"), ("sha256", "1"), ("macs", -1), ("macs", 10**30), ("padding", 0.9))
    for field, value in (*wrong, ("padding", float("nan")), ("padding", True)):
        with pytest.raises(SpecError, match=field):
            replace(spec, **{field: value})


def test_a_bundle_that_is_replaced_holds_nothing_of_the_one_before(own: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "net.onnx", tmp_path / "net.vipnas"
    onnx.save(dressed(own), str(path))
    for name in ("first", "second"):
        import_network(path, out, Origin(name), given=Given("bgr", IMAGENET, "centre"))
    with zipfile.ZipFile(out) as members:
        names = set(members.namelist())
    assert names == {"manifest.json", *(f.path.name for p in open_bundle(out).pipelines for f in p.networks)}
    assert not any("first" in name for name in names)


def test_the_cost_of_quantised_graphs_is_that_of_the_float_ones(tmp_path: Path) -> None:
    helper, kind = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).integers(-8, 8, (4, 3, 3, 3)).astype(np.int8)
    scalars = {"s": np.float32(0.1), "z": np.uint8(3), "ws": np.float32(0.1), "wz": np.int8(0)}
    held = [onnx.numpy_helper.from_array(weights, "w")]
    held += [onnx.numpy_helper.from_array(np.array(value), name) for name, value in scalars.items()]
    given = [helper.make_tensor_value_info("x", kind.UINT8, [1, 3, 8, 6])]
    out = [helper.make_tensor_value_info("y", kind.UINT8, [1, 4, 6, 4])]
    opset = [helper.make_opsetid("", 17)]
    node = helper.make_node("QLinearConv", ["x", "s", "z", "w", "ws", "wz", "s", "z"], ["y"])
    graph = helper.make_model(helper.make_graph([node], "g", given, out, held), opset_imports=opset, ir_version=8)
    found = graph_cost(graph, {"x": np.zeros((1, 3, 8, 6), np.uint8)})
    assert found.macs == 4 * 6 * 4 * 27
    assert found.parameters >= weights.size
    nothing = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        given,
        given[:0] or [helper.make_tensor_value_info("y", kind.UINT8, [1, 3, 8, 6])],
    )
    with pytest.raises(WeightsError, match="no convolution"):
        graph_cost(
            helper.make_model(nothing, opset_imports=opset, ir_version=8), {"x": np.zeros((1, 3, 8, 6), np.uint8)}
        )
