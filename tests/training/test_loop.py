"""Laws of the training loop, on a network small enough to train in a second."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from vipnas_cli.errors import WeightsError  # noqa: E402
from vipnas_cli.training.batches import prefetched  # noqa: E402
from vipnas_cli.training.loop import Trainer, learning_rate_factor  # noqa: E402
from vipnas_cli.training.options import LoopOptions  # noqa: E402

OPTIONS = LoopOptions(steps=10, learning_rate=0.02, warmup=2)


@dataclass(frozen=True)
class Numbers:
    """Batches (8, 3) that depend on the step alone."""

    def batch(self, step: int) -> Tensor:
        return torch.randn(8, 3, generator=torch.Generator().manual_seed(step))


def trainer(options: LoopOptions = OPTIONS) -> Trainer:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    return Trainer(net, options, {"kind": "test"})


def steps(found: Trainer, path: Path, until: int | None = None) -> list[float]:
    def loss_of(batch: Tensor) -> Tensor:
        return ((found.net(batch) - batch.sum(1, keepdim=True)) ** 2).mean()

    return [event.loss for event in found.run(Numbers(), loss_of, path, until)]


def test_five_and_five_resumed_steps_equal_ten_bit_for_bit(tmp_path: Path) -> None:
    whole = trainer()
    losses = steps(whole, tmp_path / "whole.safetensors")
    first = trainer()
    begun = steps(first, tmp_path / "parts.safetensors", until=5)
    second = trainer()
    second.resume(tmp_path / "parts.safetensors")
    assert begun + steps(second, tmp_path / "parts.safetensors") == losses
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, second.net.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name


def test_gradients_that_the_loss_gathered_itself_count_like_those_of_its_graph(tmp_path: Path) -> None:
    one, two = trainer(), trainer()
    losses = steps(one, tmp_path / "one.safetensors")

    def gathered(batch: Tensor) -> Tensor:
        loss = ((two.net(batch) - batch.sum(1, keepdim=True)) ** 2).mean()
        for _ in range(2):
            (loss / 2).backward(retain_graph=True)
        return loss.detach()

    assert [event.loss for event in two.run(Numbers(), gathered, tmp_path / "two.safetensors")] == losses
    for name, tensor in one.net.state_dict().items():
        assert torch.equal(tensor, two.net.state_dict()[name]), name


def test_a_fixed_seed_repeats(tmp_path: Path) -> None:
    assert steps(trainer(), tmp_path / "a.safetensors") == steps(trainer(), tmp_path / "b.safetensors")


def test_the_loss_falls(tmp_path: Path) -> None:
    options = replace(OPTIONS, steps=300)
    losses = steps(trainer(options), tmp_path / "a.safetensors")
    assert sum(losses[-50:]) / 50 < 0.5 * sum(losses[:5]) / 5


def test_a_loss_that_is_no_number_stops_and_names_the_step(tmp_path: Path) -> None:
    found = trainer()
    events = found.run(Numbers(), lambda batch: found.net(batch).mean() * float("nan"), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="step 0"):
        list(events)


def test_an_interrupt_saves_the_last_finished_step(tmp_path: Path) -> None:
    found = trainer()
    events = found.run(Numbers(), lambda batch: found.net(batch).pow(2).mean(), tmp_path / "a.safetensors")
    for _ in range(3):
        next(events)
    events.close()
    again = trainer()
    again.resume(tmp_path / "a.safetensors")
    assert again.step == 3


def test_the_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    options = LoopOptions(steps=100, warmup=10, final_factor=0.05)
    factors = [learning_rate_factor(step, options) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) == pytest.approx(1)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.05)


def test_batches_come_in_order_and_their_errors_are_raised() -> None:
    class Failing:
        def batch(self, step: int) -> int:
            if step == 6:
                raise ValueError("no sample")
            return step

    batches = prefetched(Failing(), 2, 20)
    assert [next(batches) for _ in range(4)] == [2, 3, 4, 5]
    with pytest.raises(ValueError, match="no sample"):
        next(batches)
