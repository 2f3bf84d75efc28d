"""Two processes that train together do what one does; run as a script this file is one of the two."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from vipnas_cli import distributed  # noqa: E402
from vipnas_cli.data.augment import Augmentation  # noqa: E402
from vipnas_cli.data.people_labels import LabelledPerson  # noqa: E402
from vipnas_cli.distributed import Ranks, own_rows, process_group  # noqa: E402
from vipnas_cli.errors import UsageError  # noqa: E402
from vipnas_cli.nets.batchnorm import BatchNorm, set_synced  # noqa: E402
from vipnas_cli.nets.checkpoints import load_checkpoint  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet, network_input  # noqa: E402
from vipnas_cli.spec import FAST_BASE, ArchSpec, HeadSpec, StageSpec, StemSpec  # noqa: E402
from vipnas_cli.training import followers  # noqa: E402
from vipnas_cli.training.batches import Batch, StillBatches  # noqa: E402
from vipnas_cli.training.data import StillSource  # noqa: E402
from vipnas_cli.training.loop import Trainer  # noqa: E402
from vipnas_cli.training.losses import heatmap_loss  # noqa: E402
from vipnas_cli.training.options import LoopOptions  # noqa: E402
from vipnas_cli.training.supernet import in_place_distillation_loss  # noqa: E402
from vipnas_cli.training.verifier import VerificationBatch, verification_loss  # noqa: E402

BATCH = 6


def people() -> StillSource:
    """Four people in noise, some joints of whom weigh nothing."""
    generator = np.random.default_rng(5)
    box = np.array([4, 4, 60, 90], np.float32)
    paths = [Path(f"{index}") for index in range(4)]
    images = {path: generator.integers(0, 256, (96, 64, 3), np.uint8) for path in paths}
    rows = [
        LabelledPerson(path, box, generator.uniform(4, 60, (17, 2)).astype(np.float32), weights)
        for path, weights in zip(paths, generator.integers(0, 2, (4, 17)).astype(np.float32), strict=True)
    ]
    return StillSource(images, ((rows, 1.0),))


def small_net() -> PoseNet:
    stages = tuple(StageSpec(8, 1, 3, 1, 1, False) for _ in FAST_BASE.stages)
    arch = ArchSpec("fast", 64, 32, StemSpec(8, 3), stages, HeadSpec(8, 2, 1, refine=3))
    torch.manual_seed(1)
    return PoseNet(arch)


def train(path: Path, synced: bool) -> list[float]:
    """Four steps, each with two backward passes; returns the losses.

    Without synced batch norms in evaluation mode: with the statistics of a batch, half a batch is another thing.
    """
    net = small_net().train(synced)
    trainer = Trainer(net, LoopOptions(4, 0.01, warmup=1, synced_batch_norm=synced), {})

    def loss_of(batch: Batch) -> Tensor:
        total = torch.zeros(())
        for share in (0.25, 0.75):
            loss = share * heatmap_loss(
                net.raw(network_input(batch.crops)), batch.points_crop, batch.weights, "softmax"
            )
            loss.backward()
            total += loss.detach()
        return total

    source = StillBatches(people(), (64, 32), BATCH, Augmentation(), 3)
    return [event.loss for event in trainer.run(source, loss_of, path)]


def in_two_processes(tmp_path: Path, what: str) -> list[list[float]]:
    """What this file prints as a script in each of two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torchrun = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    package = {"PYTHONPATH": str(Path(distributed.__file__).parents[1])}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, what, str(tmp_path / f"{rank}.safetensors")],
            env={**os.environ, **torchrun, **package, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return [[float(word) for word in words.split()] for words in printed]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    found_losses = in_two_processes(tmp_path, "plain")
    losses = train(tmp_path / "alone.safetensors", False)
    assert all(found == pytest.approx(losses, rel=1e-5) for found in found_losses)
    expected, _ = load_checkpoint(tmp_path / "alone.safetensors")
    found, _ = load_checkpoint(tmp_path / "0.safetensors")
    # A softmax does not see the last bias: its gradients are zero but for rounding, and Adam divides by their size.
    del expected["final.bias"]
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: name + text)
    assert not (tmp_path / "1.safetensors").exists()


def test_two_processes_with_synced_batch_norm_equal_one(tmp_path: Path) -> None:
    # Weights before a norm drift by rounding, as it does not see their size; the losses show what counts.
    found = in_two_processes(tmp_path, "synced")
    assert found[0] == found[1] == pytest.approx(train(tmp_path / "alone.safetensors", True), rel=1e-5)


def test_a_synced_batch_norm_normalises_and_teaches_as_one_of_the_whole_batch(tmp_path: Path) -> None:
    parts = [np.split(np.array(words), [-10]) for words in in_two_processes(tmp_path, "norm")]
    outputs, learnt = zip(*parts, strict=True)
    expected, whole = np.split(np.array(normalised(range(BATCH))), [-10])
    np.testing.assert_allclose(np.concatenate(outputs), expected, rtol=1e-4, atol=1e-5)
    # Gradients of the norm's weights add up over processes; running statistics are the same in all.
    np.testing.assert_allclose(sum(learnt)[:4], whole[:4], rtol=1e-4, atol=1e-5)
    for each in learnt:
        np.testing.assert_allclose(each[4:], whole[4:], rtol=1e-5)


@pytest.mark.parametrize("loss", ["heatmaps", "in place", "verifier"])
def test_gradients_averaged_over_processes_are_those_of_the_whole_batch(tmp_path: Path, loss: str) -> None:
    found = np.concatenate(in_two_processes(tmp_path, loss)) / 2
    np.testing.assert_allclose(found, raw_gradients(loss, range(BATCH)), rtol=1e-4, atol=1e-9)


def raw_gradients(loss: str, rows: range) -> list[float]:
    """The gradients of raw outputs, of rows of which some weigh more than others."""
    generator = torch.Generator().manual_seed(0)
    raw, other = (torch.randn(BATCH, 17, 8, 6, generator=generator)[list(rows)] for _ in range(2))
    other = other * torch.tensor([9.0, 1, 1, 0.2, 1, 0.1])[list(rows), None, None, None]
    numbers = raw[:, :5, 0, 0].clone() if loss == "verifier" else raw
    numbers.requires_grad_()
    if loss == "verifier":
        right = torch.tensor([1, 1, 1, 0, 1, 0])[list(rows)]
        places = torch.tensor([0.1, 0, 0.9, 1.1]).repeat(len(rows), 1)
        crops = torch.zeros(len(rows), 8, 8, 3, dtype=torch.uint8)
        total = verification_loss(numbers, VerificationBatch(crops, places, right))
    elif loss == "in place":
        total = in_place_distillation_loss(numbers, other, "softmax")
    else:
        weights = torch.tensor([1.0, 1, 1, 0, 0.5, 0])[list(rows), None].repeat(1, 17)
        total = heatmap_loss(numbers, other[:, :, 0, :2] + 12, weights, "softmax")
    (gradient,) = torch.autograd.grad(total, numbers)
    return gradient.flatten().tolist()


def test_processes_draw_other_noise_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for rank in (0, 1, 0):
        monkeypatch.setattr(followers, "ranks", lambda rank=rank: Ranks(rank, 2))
        drawn.append(torch.rand(9, generator=followers.step_noise(3, 7)))
    assert torch.equal(drawn[0], drawn[2])
    assert not (drawn[0] == drawn[1]).any()


def normalised(rows: range) -> list[float]:
    """Per row the output and the gradient of a norm's input; its weights' gradients, its running statistics."""
    generator = torch.Generator().manual_seed(0)
    batch = 3 * torch.randn(BATCH, 2, 3, 4, generator=generator) + 5
    factor = torch.randn(BATCH, 2, 3, 4, generator=generator)
    features, norm = batch[list(rows)].requires_grad_(), BatchNorm(2)
    set_synced(norm, True)
    output = norm(features)
    (output**2 * factor[list(rows)]).sum().backward()
    assert features.grad is not None
    learnt = [norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var, norm.running_mean]
    per_row = torch.cat([output.flatten(1), features.grad.flatten(1)], 1)
    return torch.cat([per_row.flatten(), *(part.flatten() for part in learnt if part is not None)]).tolist()


def test_rows_are_shared_out_without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "ranks", lambda rank=rank: Ranks(rank, 3))
        rows += own_rows(BATCH)
    assert rows == list(range(BATCH))
    with pytest.raises(UsageError, match="3 processes"):
        own_rows(7)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")):
        what, out = sys.argv[1], Path(sys.argv[2])
        if what == "norm":
            numbers = normalised(own_rows(BATCH))
        elif what in ("plain", "synced"):
            numbers = train(out, what == "synced")
        else:
            numbers = raw_gradients(what, own_rows(BATCH))
        sys.stdout.write(" ".join(map(str, numbers)))
