"""Frozen key networks: the same heatmaps from a checkpoint and from a bundle, here and in another process."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.bundle.reader import MANIFEST, bundled_weights  # noqa: E402
from vipnas_cli.errors import UsageError, WeightsError  # noqa: E402
from vipnas_cli.inference.frozen import OnnxKey, TorchKey, load_key  # noqa: E402


def test_a_bundle_sees_what_its_checkpoint_sees(tiny_bundle: Path) -> None:
    crops = torch.randint(0, 256, (3, 96, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain, exported = load_key(tiny_bundle / "key.safetensors"), load_key(tiny_bundle)
    assert isinstance(plain, TorchKey)
    assert isinstance(exported, OnnxKey)
    assert exported.plan == plain.plan
    assert exported.keypoints == plain.keypoints
    expected = plain(crops)
    torch.testing.assert_close(exported(crops), expected, atol=1e-3, rtol=0)
    sent = pickle.loads(pickle.dumps(exported))
    assert torch.equal(sent(crops), exported(crops))
    one = load_key(next(tiny_bundle.glob("*96x64*.onnx")))
    assert one.sha256 == exported.sha256


def test_what_is_no_single_key_network_is_refused() -> None:
    with pytest.raises(UsageError, match="holds 3 key networks") as several:
        load_key(bundled_weights())
    assert "file or the checkpoint" in several.value.hint
    with pytest.raises(WeightsError) as refused:
        load_key(bundled_weights() / "detector.onnx")
    assert "vipnas import" in refused.value.hint


def test_of_an_archive_no_file_is_said_to_be_nameable(tmp_path: Path) -> None:
    archive = tmp_path / "all.vipnas"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(bundled_weights() / MANIFEST, MANIFEST)
    with pytest.raises(UsageError, match="holds 3 key networks") as several:
        load_key(archive)
    assert "file" not in several.value.hint
