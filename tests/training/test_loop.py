"""Laws of the training loop, on a network small enough to train in a second."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from vipnas_cli.errors import DataError, OutputError, WeightsError  # noqa: E402
from vipnas_cli.nets.checkpoints import load_checkpoint, save_checkpoint  # noqa: E402
from vipnas_cli.training import loop  # noqa: E402
from vipnas_cli.training.batches import prefetched  # noqa: E402
from vipnas_cli.training.loop import (  # noqa: E402
    Trainer,
    Validation,
    best_path,
    learning_rate_factor,
    resume_path,
)
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


@dataclass(frozen=True)
class Named:
    """A batch whose rows have names."""

    values: Tensor
    ids: tuple[str, ...]


@dataclass(frozen=True)
class NamedNumbers:
    """Named batches, the third of which spoils the gradients or the loss."""

    spoilt: float

    def batch(self, step: int) -> Named:
        values = Numbers().batch(step)
        return Named(values * self.spoilt if step == 2 else values, (f"{step}/a.jpg", f"{step}/b.jpg"))


@pytest.mark.parametrize("spoilt", [float("nan"), 1e30])
def test_what_is_no_number_stops_names_step_and_samples_and_is_not_saved(spoilt: float, tmp_path: Path) -> None:
    found, path = trainer(replace(OPTIONS, save_every_s=0)), tmp_path / "a.safetensors"
    events = found.run(NamedNumbers(spoilt), lambda batch: (found.net[0](batch.values) ** 2).mean(), path)
    with pytest.raises(WeightsError, match=r"step 2 on the samples 2/a\.jpg, 2/b\.jpg"):
        list(events)
    again = trainer()
    again.resume(path)
    assert again.step == 2
    assert all(tensor.isfinite().all() for tensor in again.net.state_dict().values())


def test_the_network_with_averaged_weights_is_scored_now_and_then_and_the_best_is_kept(tmp_path: Path) -> None:
    found, path, seen = trainer(), tmp_path / "a.safetensors", []

    def score(net: nn.Module) -> float:
        assert not net.training
        assert net is not found.net
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, found.average[name]), name
        seen.append(found.step)
        return {4: 30.0, 8: 50.0, 10: 40.0}[found.step]

    events = list(
        found.run(Numbers(), lambda batch: found.net(batch).pow(2).mean(), path, None, Validation(score, 4, True))
    )
    assert seen == [4, 8, 10]
    assert [event.score for event in events if event.score is not None] == [30.0, 50.0, 40.0]
    assert load_checkpoint(best_path(path))[1]["step"] == 8


def scored(path: Path, every: int, stops: tuple[int, ...]) -> dict[int, float]:
    """The scores by step of a training that is stopped at some steps and resumed; they fall and rise."""
    found = {}
    for until in (*stops, None):
        part = trainer()
        if until != stops[0]:
            part.resume(path)

        def score(_: nn.Module, part: Trainer = part) -> float:
            return 100.0 - (part.step * 7) % 10

        def loss_of(batch: Tensor, part: Trainer = part) -> Tensor:
            return ((part.net(batch) - batch.sum(1, keepdim=True)) ** 2).mean()

        for event in part.run(Numbers(), loss_of, path, until, Validation(score, every, True)):
            if event.score is not None:
                found[event.step] = event.score
    return found


@pytest.mark.parametrize("every", [3, 4, 8, 20])
def test_a_training_that_was_stopped_chooses_the_weights_that_an_unbroken_one_chooses(
    every: int, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    wanted = scored(whole, every, (10,))
    tensors, header = load_checkpoint(best_path(whole))
    for stop in range(1, 10):
        parts.unlink(missing_ok=True)
        assert scored(parts, every, (stop, stop + 1)) == wanted
        found, told = load_checkpoint(best_path(parts))
        assert told == header
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in found.items())


def test_best_weights_that_another_training_left_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(best_path(path), {}, {"kind": "test", "step": 1, "score": 1000.0})
    scored(path, 4, (2,))
    assert load_checkpoint(best_path(path))[1]["score"] < 1000


def test_the_best_score_of_an_earlier_version_s_training_is_that_of_its_best_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    scored(path, 4, (5,))
    tensors, header = load_checkpoint(resume_path(path), of_training=True)
    best = header.pop("best")
    assert best == load_checkpoint(best_path(path))[1]["score"]
    for step, known in ((10, best), (3, None)):
        save_checkpoint(resume_path(path), tensors, {**header, "step": step})
        again = trainer()
        again.resume(path)
        assert again.best == known


def test_scoring_does_not_change_the_training(tmp_path: Path) -> None:
    plain, scored = trainer(), trainer()
    losses = steps(plain, tmp_path / "plain.safetensors")
    validation = Validation(lambda net: float(net(torch.ones(2, 3)).sum()), 3)

    def loss_of(batch: Tensor) -> Tensor:
        return ((scored.net(batch) - batch.sum(1, keepdim=True)) ** 2).mean()

    path = tmp_path / "scored.safetensors"
    assert [event.loss for event in scored.run(Numbers(), loss_of, path, None, validation)] == losses


def test_a_checkpoint_of_an_earlier_version_resumes(tmp_path: Path) -> None:
    """Its average lies in the checkpoint alone."""
    found, path = trainer(), tmp_path / "a.safetensors"
    steps(found, path, until=5)
    tensors, header = load_checkpoint(resume_path(path), of_training=True)
    header = {name: value for name, value in header.items() if name not in ("state_of", "best")}
    save_checkpoint(resume_path(path), {n: t for n, t in tensors.items() if not n.startswith("average.")}, header)
    again = trainer()
    again.resume(path)
    for name, tensor in found.average.items():
        assert torch.equal(tensor, again.average[name]), name


def test_an_interrupt_saves_the_last_finished_step(tmp_path: Path) -> None:
    found = trainer()
    events = found.run(Numbers(), lambda batch: found.net(batch).pow(2).mean(), tmp_path / "a.safetensors")
    for _ in range(3):
        next(events)
    events.close()
    again = trainer()
    again.resume(tmp_path / "a.safetensors")
    assert again.step == 3


@dataclass(frozen=True)
class Missing:
    """Batches whose first one cannot be made."""

    first: int

    def batch(self, step: int) -> Tensor:
        if step == self.first:
            raise DataError("no such picture")
        return Numbers().batch(step)


def test_a_training_that_ends_before_its_first_step_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for begun in (0, 4):
        found = trainer()
        if begun:
            steps(found, path, begun)
            found = trainer()
            found.resume(path)
        before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
        with pytest.raises(DataError):
            list(found.run(Missing(begun), lambda batch: found.net(batch).mean(), path))  # noqa: B023 - used at once
        assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    assert set(before) == {"a.safetensors", "a.resume.safetensors"}


def test_a_checkpoint_that_a_kill_left_behind_its_state_is_made_up_for(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    steps(trainer(), path, until=4)
    old = path.read_bytes()
    again = trainer()
    again.resume(path)
    steps(again, path)
    new = path.read_bytes()
    path.write_bytes(old)
    done = trainer()
    done.resume(path)
    assert steps(done, path) == []
    assert path.read_bytes() == new


def test_a_disk_too_full_for_the_state_gets_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"

    def save(file: Path, *rest: object) -> None:
        if file == resume_path(path):
            raise OutputError("no space left")
        save_checkpoint(file, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "save_checkpoint", save)
    with pytest.raises(OutputError, match="no space left"):
        steps(trainer(), path)
    assert load_checkpoint(path)[1]["step"] == OPTIONS.steps


def test_the_state_of_a_training_is_taken_for_no_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    steps(trainer(), path, until=1)
    with pytest.raises(
        WeightsError, match=r"a\.resume\.safetensors is the state for --resume of a\.safetensors"
    ) as error:
        load_checkpoint(resume_path(path))
    assert error.value.hint == "use a.safetensors"


@dataclass(frozen=True)
class Spoilt:
    """Batches of samples with these names; from the third on they are no numbers."""

    ids: tuple[str, ...]

    def batch(self, step: int) -> Named:
        return Named(Numbers().batch(step) * (float("nan") if step >= 2 else 1), self.ids)


@pytest.mark.parametrize(
    ("ids", "saves", "hint"),
    [
        (("synthetic/000003", "synthetic/clip0001/000002"), False, "begin again with a lower learning_rate"),
        (("synthetic/000003 + synthetic/000004",), True, "resume from the last checkpoint with a lower learning_rate"),
        ((), False, "begin again with a lower learning_rate"),
        (
            ("synthetic/000003 + data/b.jpg",),
            False,
            "look at these samples with `vipnas data check`, or begin again with a lower learning_rate",
        ),
    ],
)
def test_what_to_do_about_a_loss_that_is_no_number_is_what_can_be_done(
    ids: tuple[str, ...], saves: bool, hint: str, tmp_path: Path
) -> None:
    found = trainer(replace(OPTIONS, save_every_s=0 if saves else 1e6))
    with pytest.raises(WeightsError) as error:
        list(found.run(Spoilt(ids), lambda batch: found.net(batch.values).mean(), tmp_path / "a.safetensors"))
    assert error.value.hint == hint
    assert (tmp_path / "a.safetensors").exists() == saves
    if saves:
        again = trainer()
        again.resume(tmp_path / "a.safetensors")
        with pytest.raises(WeightsError) as error:
            list(again.run(Spoilt(ids), lambda batch: again.net(batch.values).mean(), tmp_path / "a.safetensors"))
        assert error.value.hint == hint


def test_the_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    options = LoopOptions(steps=100, warmup=10, final_factor=0.05)
    factors = [learning_rate_factor(step, options) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) == pytest.approx(1)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.05)


def test_the_learning_rate_falls_at_each_milestone() -> None:
    options = LoopOptions(steps=100, warmup=10, milestones=(50, 80))
    factors = [learning_rate_factor(step, options) for step in (9, 49, 50, 79, 80, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_adam_without_clipping_and_average_steps_like_torch_s_own(tmp_path: Path) -> None:
    options = LoopOptions(3, 0.01, optimizer="adam", weight_decay=0, warmup=1, milestones=(9,), clip_norm=0)
    found, plain = trainer(replace(options, average_decay=0)), trainer().net
    steps(found, tmp_path / "a.safetensors")
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    for step in range(3):
        batch = Numbers().batch(step)
        optimizer.zero_grad()
        ((plain(batch) - batch.sum(1, keepdim=True)) ** 2).mean().backward()
        optimizer.step()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(found.net.state_dict()[name], tensor)
        assert torch.equal(found.average[name], found.net.state_dict()[name])


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


@pytest.mark.parametrize("change", [{"kind": "other"}, {"plan": {"a": 1}}, {"keypoints": 3}])
def test_a_checkpoint_of_another_network_is_not_resumed(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "a.safetensors"
    steps(trainer(), path, until=1)
    other = trainer()
    other.header = {**other.header, **change}
    with pytest.raises(WeightsError, match=f"another {next(iter(change))} than the recipe"):
        other.resume(path)


def test_weights_of_another_shape_are_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    steps(trainer(), path, until=1)
    with pytest.raises(WeightsError, match="does not fit the network"):
        Trainer(nn.Linear(2, 2), OPTIONS, {"kind": "test"}).resume(path)
