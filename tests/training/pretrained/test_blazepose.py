"""The start from BlazePose, on files of its layout that are written here, and on its own where they are there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from vipnas_cli.errors import WeightsError  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet, network_input  # noqa: E402
from vipnas_cli.spec import ArchSpec, HeadSpec, StageSpec, StemSpec, preset  # noqa: E402
from vipnas_cli.training.pretrained.blazepose import (  # noqa: E402
    Size,
    blazepose_file,
    settle_norms,
    start_from_blazepose,
)
from vipnas_cli.training.pretrained.tflite_file import Layer, read_layers  # noqa: E402
from vipnas_cli.training.start import freeze  # noqa: E402

WIDTHS, DEPTHS, KERNELS = (4, 8, 12, 8, 12, 16), (1, 2, 2, 3, 3, 4), (3, 3, 5, 3, 5, 5)
LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
STEEPNESS = 0.4
GREY = 127 / 255


def arch(
    extra: int = 0, kernels: tuple[int, ...] = KERNELS, family: str = "pyramid", widths: tuple[int, ...] = WIDTHS
) -> ArchSpec:
    """The small network that fits the files below, with more channels in the decoder than they have."""
    rows = zip(widths, DEPTHS, kernels, strict=True)
    stages = tuple(StageSpec(w, d, k, 1, 2 if i else 1, False) for i, (w, d, k) in enumerate(rows))
    return ArchSpec(family, 64, 32, StemSpec(8, 3), stages, HeadSpec(12 + extra, 4, 1, refine=3))


@dataclass
class Graph:
    """Layers in the order and layout of pose_landmark_full, with random weights, and what they compute."""

    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    layers: list[Layer] = field(default_factory=list)
    tensors: int = 1

    def new(self, kind: str, reads: tuple[int, ...], activation: str, stride: int, *shape: int) -> int:
        """A layer with weights of that shape as torch has them, rounded to what fp16 holds; gives its tensor."""
        weight = bias = None
        if shape:
            spread = 1.5 / np.sqrt(np.prod(shape[1:]))
            weight = self.generator.normal(0, spread, shape).astype(np.float16).astype(np.float32)
            bias = self.generator.normal(0, 0.5, shape[0]).astype(np.float16).astype(np.float32)
        self.tensors += 1
        self.layers.append(Layer(kind, reads, self.tensors, activation, stride, weight, bias))
        return self.tensors

    def mix(self, tensor: int, inputs: int, outputs: int, activation: str = "relu6") -> int:
        return self.new("convolution", (tensor,), activation, 1, outputs, inputs, 1, 1)

    def spatial(self, tensor: int, channels: int, kernel: int, stride: int = 1) -> int:
        if stride == 2:
            tensor = self.new("pad", (tensor,), "none", 1)
        return self.new("depthwise", (tensor,), "relu6", stride, channels, 1, kernel, kernel)

    def side(self, tensor: int, inputs: int, outputs: int) -> int:
        return self.mix(self.spatial(tensor, inputs, 3), inputs, outputs)


def small_graph() -> Graph:
    """The layout of the files: side inputs before every stage with stride 2, and the heatmaps at the end.

    What they compute besides is there, too: the side input of a mask, and those of landmarks that only `heavy` has.
    """
    graph = Graph()
    tensor = graph.new("convolution", (graph.new("pad", (0,), "none", 1),), "relu6", 2, 8, 3, 3, 3)
    inputs = 8
    sides = []
    for index, (width, depth, kernel) in enumerate(zip(WIDTHS, DEPTHS, KERNELS, strict=True)):
        for block in range(depth):
            down = block == 0 and index in (1, 2, 3, 5)
            middle, before = inputs * (2 if index else 1), tensor
            if index:
                tensor = graph.mix(tensor, inputs, middle)
            if down:
                sides.append(graph.side(before, inputs, 3 if index == 1 else 12))
                graph.side(before, inputs, 7)
            tensor = graph.mix(graph.spatial(tensor, middle, kernel, 1 + down), middle, width, "none")
            if block:
                tensor = graph.new("add", (tensor, before), "none", 1)
            inputs = width
    middle = inputs * 6
    tensor = graph.spatial(graph.spatial(graph.mix(tensor, inputs, middle), middle, 3), middle, 3)
    tensor = graph.mix(tensor, middle, 12)
    for side in reversed(sides[1:]):
        tensor = graph.new("add", (graph.new("other", (tensor,), "none", 1), side), "none", 1)
    graph.mix(tensor, 12, 39, "none")
    return graph


def needed(layers: list[Layer], tensor: int) -> set[int]:
    """The tensors that one is computed from, its own included."""
    found = {tensor}
    for layer in reversed(layers):
        found.update(layer.reads if layer.writes in found else ())
    return found


def computed(layers: list[Layer], pixels: Tensor, wanted: int) -> Tensor:
    """The tensor `wanted` of pixels (B, 3, H, W) in 0 … 1, layer by layer.

    The first layer sees grey around the picture, as the converted network does; the file's own black changes borders.
    """
    values = {0: pixels}
    path = needed(layers, wanted)
    for layer in (layer for layer in layers if layer.writes in path):
        inputs = [values[tensor] for tensor in layer.reads if tensor in values]
        if layer.kind == "pad":
            values[layer.writes] = inputs[0]
            continue
        if layer.kind == "add":
            found = inputs[0] + inputs[1]
        elif layer.kind == "other":
            found = F.interpolate(inputs[0], scale_factor=2, mode="bilinear")
        else:
            assert layer.weight is not None
            assert layer.bias is not None
            around = layer.weight.shape[2] // 2
            padded = F.pad(inputs[0], [around] * 4, value=GREY if inputs[0] is pixels else 0)
            groups = inputs[0].shape[1] if layer.kind == "depthwise" else 1
            weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
            found = F.conv2d(padded, weight, bias, layer.stride, groups=groups)
        values[layer.writes] = found.clamp(0, 6) if layer.activation == "relu6" else found
    return values[wanted]


def heatmaps_of(layers: list[Layer]) -> int:
    """The tensor of the 39 heatmaps."""
    return next(layer.writes for layer in layers if layer.weight is not None and layer.weight.shape[0] == 39)


def trunk_of(layers: list[Layer]) -> int:
    """The tensor at which the trunk ends: what is widened before two depthwise convolutions that follow each other."""
    made_by = {layer.writes: layer for layer in layers}
    before = ((made_by[layer.reads[0]], layer) for layer in layers if layer.reads[0] in made_by)
    first = next(a for a, b in before if a.kind == b.kind == "depthwise")
    return made_by[first.reads[0]].reads[0]


class Writer:
    """Writes layers as a TensorFlow Lite file with fp16 weights, each behind a dequantize operator."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 16)
        self.buffers = [self.table({})]
        self.tensors: list[int] = []
        self.operators: list[int] = []

    def table(self, entries: dict[int, tuple[str, int]]) -> int:
        self.builder.StartObject(6)
        for number, (kind, value) in entries.items():
            getattr(self.builder, f"Prepend{kind}Slot")(number, value, 0)
        return int(self.builder.EndObject())

    def places(self, tables: list[int]) -> int:
        self.builder.StartVector(4, len(tables), 4)
        for place in reversed(tables):
            self.builder.PrependUOffsetTRelative(place)
        return int(self.builder.EndVector())

    def numbers(self, values: list[int] | bytes) -> int:
        kind = np.uint8 if isinstance(values, bytes) else np.int32
        array = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else np.array(values, np.int32)
        return int(self.builder.CreateNumpyVector(array.astype(kind)))

    def tensor(self, values: np.ndarray | None = None) -> int:
        if values is not None:
            data = self.numbers(np.ascontiguousarray(values.astype(np.float16)).tobytes())
            self.buffers.append(self.table({0: ("UOffsetTRelative", data)}))
        shape = self.numbers(list(values.shape) if values is not None else [])
        kind, buffer = (1, len(self.buffers) - 1) if values is not None else (0, 0)
        entries = {0: ("UOffsetTRelative", shape), 1: ("Int8", kind), 2: ("Uint32", buffer)}
        self.tensors.append(self.table(entries))
        return len(self.tensors) - 1

    def operator(self, code: int, reads: list[int], writes: int, options: int = 0) -> None:
        read, written = self.numbers(reads), self.numbers([writes])
        entries = {0: ("Uint32", code), 1: ("UOffsetTRelative", read), 2: ("UOffsetTRelative", written)}
        self.operators.append(self.table(entries | ({4: ("UOffsetTRelative", options)} if options else {})))

    def constant(self, values: np.ndarray) -> int:
        stored, plain = self.tensor(values), self.tensor()
        self.operator(3, [stored], plain)
        return plain

    def file(self, layers: list[Layer]) -> bytes:
        """Operators are add, convolution, depthwise, dequantize, pad, resize_bilinear."""
        names = {layer.writes: self.tensor() for layer in [Layer("input", (), 0), *layers]}
        order = {"add": 0, "convolution": 1, "depthwise": 2, "pad": 4, "other": 5}
        for layer in layers:
            reads, options = [names[tensor] for tensor in layer.reads], 0
            if layer.weight is not None:
                depthwise = layer.kind == "depthwise"
                weight = layer.weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
                reads += [self.constant(weight), self.constant(np.asarray(layer.bias))]
                act = ("Int8", 3 if layer.activation == "relu6" else 0)
                stride = ("Int32", layer.stride)
                options = self.table({1: stride, 2: stride, 4 if depthwise else 3: act})
            self.operator(order[layer.kind], reads, names[layer.writes], options)
        codes = [self.table({0: ("Int8", code), 3: ("Int32", code)}) for code in (0, 3, 4, 6, 34, 23)]
        tensors, operators = self.places(self.tensors), self.places(self.operators)
        graph = self.table({0: ("UOffsetTRelative", tensors), 3: ("UOffsetTRelative", operators)})
        parts = {1: self.places(codes), 2: self.places([graph]), 4: self.places(self.buffers)}
        self.builder.Finish(self.table({n: ("UOffsetTRelative", p) for n, p in parts.items()}), b"TFL3")
        return bytes(self.builder.Output())


@pytest.fixture(scope="module")
def graph() -> Graph:
    return small_graph()


@pytest.fixture(scope="module")
def file(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blazepose") / "small.tflite"
    path.write_bytes(Writer().file(graph.layers))
    return path


def crops(height: int = 64, width: int = 32, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def test_what_was_written_is_read(graph: Graph, file: Path) -> None:
    for found, layer in zip(read_layers(file), graph.layers, strict=True):
        assert (found.kind, found.activation, found.stride) == (layer.kind, layer.activation, layer.stride)
        if layer.weight is not None:
            assert np.array_equal(found.weight, layer.weight)
            assert np.array_equal(found.bias, layer.bias)


@torch.no_grad()
@pytest.mark.parametrize("extra", [0, 5])
def test_the_network_computes_what_the_file_says(extra: int, graph: Graph, file: Path) -> None:
    net = PoseNet(arch(extra)).eval()
    start_from_blazepose(net, file)
    pixels = crops().permute(0, 3, 1, 2) / 255
    expected = computed(graph.layers, pixels, heatmaps_of(graph.layers))[:, LANDMARKS]
    torch.testing.assert_close(net.raw(network_input(crops())), STEEPNESS * expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_trunk_below_another_head_computes_the_same_features(graph: Graph, file: Path) -> None:
    net = PoseNet(arch(family="fast")).eval()
    head = {name: tensor.clone() for name, tensor in net.head.state_dict().items()}
    start_from_blazepose(net, file)
    images = network_input(crops())
    expected = computed(graph.layers, crops().permute(0, 3, 1, 2) / 255, trunk_of(graph.layers))
    torch.testing.assert_close(net.features(images)[-1], expected, rtol=1e-4, atol=1e-4)
    settle_norms(net, images.split(2))
    torch.testing.assert_close(net.features(images)[-1], expected, rtol=1e-3, atol=1e-3)
    # A head that begins at random is normalised by each batch, as from any start.
    assert all(torch.equal(tensor, head[name]) for name, tensor in net.head.state_dict().items())


@torch.no_grad()
def test_settled_norms_change_nothing_and_have_the_statistics_of_the_crops(file: Path) -> None:
    net = PoseNet(arch(5)).train()
    start_from_blazepose(net, file)
    freeze(net, 2)
    images = network_input(crops(count=8))
    before = net.eval().raw(images)
    freeze(net.train(), 2)
    settle_norms(net, images.split(4))
    # Frozen parts are left as they were.
    assert [part.training for part in (net.stem, net.stages[1], net.stages[2], net.head)] == [False, False, True, True]
    torch.testing.assert_close(net.eval().raw(images), before, rtol=1e-3, atol=1e-3)
    norm = next(m for m in net.stem.modules() if isinstance(m, nn.BatchNorm2d))
    seen = net.stem[0](images)
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3), unbiased=False))
    # So normalising by the batch, as training does, hardly changes it either.
    torch.testing.assert_close(net.train().raw(images), before, rtol=0.02, atol=0.02)


def test_norms_cannot_settle_without_data(file: Path) -> None:
    with pytest.raises(WeightsError, match="without data"):
        settle_norms(PoseNet(arch()), [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:0],
        lambda data: b"PK\3\4" + data[4:],
        lambda data: data[: len(data) // 2],
        lambda data: data[:4] + b"TFL2" + data[8:],
        lambda data: b"\xff\xff\xff\x7f" + data[4:],
    ],
)
def test_files_that_are_none_are_refused(spoil, file: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "wrong.tflite"
    data = file.read_bytes()
    path.write_bytes(spoil(data))
    with pytest.raises(WeightsError, match="not a usable TensorFlow Lite file"):
        read_layers(path)


def test_no_spoilt_byte_gives_another_error(file: Path, tmp_path: Path) -> None:
    data, path = file.read_bytes(), tmp_path / "spoilt.tflite"
    generator = np.random.default_rng(3)
    for place in generator.integers(0, len(data), 150):
        spoilt = bytearray(data)
        spoilt[place : place + 4] = generator.bytes(4)
        path.write_bytes(spoilt)
        try:
            start_from_blazepose(PoseNet(arch()), path)
        except WeightsError:
            continue


def test_files_and_networks_of_another_layout_are_refused(graph: Graph, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.tflite"
    path.write_bytes(Writer().file(graph.layers[:20]))
    with pytest.raises(WeightsError, match="layout"):
        start_from_blazepose(PoseNet(arch()), path)
    with pytest.raises(WeightsError, match="does not fit"):
        start_from_blazepose(PoseNet(arch(kernels=(3, 3, 3, 3, 5, 5))), file)
    # A wider network could hold it, but would not be the one that the start is called after.
    with pytest.raises(WeightsError, match=r"blocks have 4, 8, 8, .* channels, the network's 4, 8, 8, 16"):
        start_from_blazepose(PoseNet(arch(widths=(4, 8, 16, 8, 12, 16))), file)
    # The first block has 4 channels: after a stem of 4 it would be residual, which the file's is not.
    residual = PoseNet(replace(arch(), stem=StemSpec(4, 3)))
    with pytest.raises(WeightsError, match="residual"):
        start_from_blazepose(residual, file)
    with pytest.raises(WeightsError, match="pyramid and fast"):
        start_from_blazepose(PoseNet(preset("s-vipnet-mobilenetv3")), file)
    with pytest.raises(WeightsError, match="not a usable"):
        start_from_blazepose(PoseNet(arch()), tmp_path / "missing.tflite")


def test_a_missing_file_is_told_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"pose_landmark_heavy\.tflite") as found:
        blazepose_file("heavy")
    assert found.value.hint is not None
    assert "npm install @mediapipe/pose" in found.value.hint
    path = tmp_path / "node_modules" / "@mediapipe" / "pose" / "pose_landmark_heavy.tflite"
    path.parent.mkdir(parents=True)
    path.touch()
    assert blazepose_file("heavy").resolve() == path


@torch.no_grad()
@pytest.mark.parametrize(("size", "name"), [("lite", "lite"), ("full", "base"), ("heavy", "heavy")])
def test_the_real_weights_keep_their_heatmaps(size: Size, name: str) -> None:
    try:
        path = blazepose_file(size)
    except WeightsError:
        pytest.skip(f"pose_landmark_{size}.tflite is missing")
    net = PoseNet(preset(f"pyramid-{name}")).eval()
    start_from_blazepose(net, path)
    images, layers = crops(256, 192, 1), read_layers(path)
    expected = computed(layers, images.permute(0, 3, 1, 2) / 255, heatmaps_of(layers))[:, LANDMARKS]
    torch.testing.assert_close(net.raw(network_input(images)), STEEPNESS * expected, rtol=1e-3, atol=0.02)
    trunk = PoseNet(preset(f"fast-{size}")).eval()
    start_from_blazepose(trunk, path)
    features = trunk.features(network_input(images))[-1]
    torch.testing.assert_close(features, net.features(network_input(images))[-1], rtol=1e-4, atol=1e-4)
