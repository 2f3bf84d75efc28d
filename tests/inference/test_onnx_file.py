"""Where an ONNX file says that its weights are: in itself, or in another file, which is refused wherever it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.bundle.reader import bundled_weights
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.inference.onnx_file import has_external_data
from vipnas_cli.inference.sessions import RuntimeOptions, open_session
from vipnas_cli.inference.threads import MOST_THREADS

onnx = pytest.importorskip("onnx")


def tensor(external: bool) -> onnx.TensorProto:
    found = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    if external:
        found.ClearField("raw_data")
        found.data_location = onnx.TensorProto.EXTERNAL
        found.external_data.add(key="location", value="secret.bin")
    return found


def model(place: str, external: bool) -> bytes:
    """A network with a tensor in one of the places where tensors occur."""
    helper, weights = onnx.helper, tensor(external)
    output = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])]
    constant = helper.make_node("Constant", [], ["w"], value=weights)
    identity = helper.make_node("Identity", ["w"], ["y"])
    if place == "initializer":
        graph = helper.make_graph([identity], "g", [], output, [weights])
    elif place == "attribute":
        graph = helper.make_graph([constant, identity], "g", [], output)
    else:
        inner = helper.make_graph([constant, identity], "inner", [], output)
        condition = onnx.numpy_helper.from_array(np.array(True), "c")
        choice = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        graph = helper.make_graph([choice], "g", [], output, [condition])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph"])
def test_weights_in_another_file_are_refused_wherever_they_are_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    assert not has_external_data(model(place, external=False))
    assert has_external_data(model(place, external=True))
    with pytest.raises(WeightsError, match=r"net\.onnx takes weights from another file"):
        open_session(model(place, external=True), "net.onnx", RuntimeOptions(1))


def test_bundled_networks_hold_their_weights() -> None:
    for path in sorted(bundled_weights().glob("*.onnx"))[:3]:
        assert not has_external_data(path.read_bytes())


def test_damaged_files_are_told_by_the_runtime_and_never_fail_otherwise() -> None:
    data, generator = model("subgraph", external=False), np.random.default_rng(0)
    for length in range(0, len(data), 7):
        with pytest.raises(WeightsError):
            open_session(data[: length or 1], "cut.onnx", RuntimeOptions(1))
    for _ in range(300):
        damaged = bytearray(data)
        for place in generator.integers(0, len(data), 2).tolist():
            damaged[place] = int(generator.integers(256))
        try:
            has_external_data(bytes(damaged))
        except ValueError:
            continue


@pytest.mark.parametrize("threads", [-1, MOST_THREADS + 1, 100_000])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=str(threads)):
        RuntimeOptions(threads)


def test_what_this_reader_cannot_read_is_refused_though_the_runtime_would_skip_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    # A group, which protocol buffers no longer have, and which parsers leave out.
    with pytest.raises(WeightsError, match=r"net\.onnx"):
        open_session(b"\xc3\x3e\xc4\x3e" + model("initializer", external=True), "net.onnx", RuntimeOptions(1))
