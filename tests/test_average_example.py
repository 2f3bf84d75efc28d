"""The example that averages weights: a mean of equals is each of them, and what does not belong together is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vipnas_cli.bundle.reader import bundled_weights
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.nets.checkpoints import load_checkpoint, load_pose_net, save_checkpoint

PROGRAM = Path(__file__).parents[1] / "examples" / "average_weights.py"
KEY = bundled_weights() / "key-pyramid-256.fp16.safetensors"
LARGER = bundled_weights() / "key-pyramid-288.fp16.safetensors"


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("average_weights")


def test_the_mean_of_equals_is_each_of_them(example: ModuleType) -> None:
    tensors, _ = load_checkpoint(KEY)
    mean, _ = example.mean_of([example.Part(KEY), example.Part(KEY, 3.0)])
    assert all(torch.equal(mean[name], tensor.to(mean[name].dtype)) for name, tensor in tensors.items())


def test_a_mean_lies_where_its_weights_say_and_has_the_size_of_the_first(example: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "mean.safetensors"
    words = [sys.executable, str(PROGRAM), str(KEY), f"{LARGER}:3", "-o", str(out)]
    subprocess.run(words, check=True, capture_output=True)
    name = "final.weight"
    before, other, mean = (load_checkpoint(path)[0][name].double() for path in (KEY, LARGER, out))
    torch.testing.assert_close(mean, 0.25 * before + 0.75 * other, rtol=0, atol=1e-7)
    net = load_pose_net(out)
    assert (net.arch.height, net.arch.width) == (256, 192)
    subprocess.run([*words, "--fp16"], check=True, capture_output=True)
    assert out.stat().st_size < 1.1 * KEY.stat().st_size
    torch.testing.assert_close(load_checkpoint(out)[0][name].double(), mean, rtol=1e-3, atol=1e-6)
    command = load_checkpoint(out)[1]["training"]["command"]
    assert command == f"python examples/average_weights.py {KEY.name}:1 {LARGER.name}:3"


def test_other_networks_and_other_weights_are_refused(example: ModuleType, tmp_path: Path) -> None:
    tensors, header = load_checkpoint(KEY)
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, {name: tensor for name, tensor in tensors.items() if name != "final.bias"}, header)
    with pytest.raises(WeightsError, match="another network"):
        example.mean_of([example.Part(KEY), example.Part(other)])
    with pytest.raises(UsageError, match="above 0"):
        example.Part.of("key.safetensors:0")
    done = subprocess.run([sys.executable, str(PROGRAM), "none.safetensors", "-o", "x"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "none.safetensors does not exist" in done.stderr
