"""Training of the spatial super-network: key networks of every size from one set of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.training.batches import Batch, BatchSource, BatchType, StillBatches
from vipnas_cli.training.data import still_source
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.sandwich import sandwich_architectures, spatial_step, step_rng
from vipnas_cli.training.start import RunPlan, compiled, header_of, space_of_recipe, start_super_net


@dataclass(frozen=True)
class SizedBatches(BatchSource[BatchType]):
    """Batches whose input size is drawn anew for each step, from one source per size."""

    sources: tuple[BatchSource[BatchType], ...]
    seed: int

    def batch(self, step: int) -> BatchType:
        """The batch of `step` at that step's size."""
        return step_rng(self.seed, step).choice(self.sources).batch(step)


def train_spatial(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains the super-network of a recipe's space by the sandwich rule and yields an event per step."""
    recipe, space = plan.recipe, space_of_recipe(plan.recipe)
    net = SuperNet(space)
    start_super_net(net, plan)
    people = still_source(recipe, plan.folders)
    sizes = (StillBatches(people, size, recipe.batch, recipe.augmentation, recipe.seed) for size in space.sizes)
    source = SizedBatches(tuple(sizes), recipe.seed)
    facts = {"kind": "supernet", "space": space.to_json(), "fusions": [], "keypoints": net.keypoints}
    trainer = Trainer(net, recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    largest = compiled(net.store.raw, plan)

    def loss_of(batch: Batch) -> Tensor:
        # Sizes are drawn by the batch source; architectures come from a stream of their own.
        size = (batch.crops.shape[1], batch.crops.shape[2])
        rng = step_rng(recipe.seed + 1, trainer.step)
        return spatial_step(net, largest, batch, sandwich_architectures(space, size, recipe.random, rng))

    return trainer.run(source, loss_of, plan.out, plan.until, plan.validation)
