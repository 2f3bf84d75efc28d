"""What propagation and fusion are worth: the key network on every frame, propagation, propagation without fusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vipnas_cli.data.files.posetrack import LabelledSequence
from vipnas_cli.evaluation.posetrack import KeyNetworkOnly, PipelineRun, RunSettings, run_sequences
from vipnas_cli.evaluation.scores import PositionScores, SequenceScores, score_sequences, scores_by_position
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.metrics import POSEVAL, MotRules
from vipnas_cli.spec import Schedule

KEY_ONLY, PROPAGATION, NO_FUSION = (
    "key network on every frame",
    "propagation",
    "propagation without fusion",
)


@dataclass(frozen=True)
class Variant:
    """One way to run a pipeline, with its predictions, scores, and accuracy by position in the cycle.

    The key network alone is scored at the positions that propagation had on the same frames.
    """

    name: str
    run: PipelineRun
    scores: SequenceScores
    by_position: tuple[PositionScores, ...]


def runs_needed(schedule: Schedule) -> int:
    """How many of the three variants differ: a cycle of one frame has one, one without fusion two."""
    fuses = any(plan.fusion.operation != "none" for plan in schedule.plans)
    return 1 if len(schedule) == 1 else 2 + fuses


def ablation(
    estimator: PoseEstimator,
    sequences: Sequence[LabelledSequence],
    settings: RunSettings,
    rules: MotRules = POSEVAL,
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[Variant, Variant, Variant]:
    """Runs and scores the three variants; those that cannot differ are run once."""
    needed = runs_needed(estimator.schedule)
    truth = [sequence.truth for sequence in sequences]
    cycle = len(estimator.schedule)

    def variant(name: str, run: PipelineRun, timeline: PipelineRun) -> Variant:
        by_position = scores_by_position(truth, run.predicted, timeline.positions, cycle)
        return Variant(name, run, score_sequences(truth, run.predicted, rules), by_position)

    run = run_sequences(estimator, sequences, settings, on_frame)
    propagation = variant(PROPAGATION, run, run)
    key_only, no_fusion = replace(propagation, name=KEY_ONLY), replace(propagation, name=NO_FUSION)
    if needed > 1:
        key_only = variant(KEY_ONLY, run_sequences(KeyNetworkOnly(estimator), sequences, settings, on_frame), run)
    if needed > 2:
        blind = replace(settings, options=replace(settings.options, fusion=False))
        run_blind = run_sequences(estimator, sequences, blind, on_frame)
        no_fusion = variant(NO_FUSION, run_blind, run_blind)
    return key_only, propagation, no_fusion
