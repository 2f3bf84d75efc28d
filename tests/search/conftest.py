"""A small search."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from vipnas_cli.evaluation.clip_sets import ClipSets
from vipnas_cli.evaluation.cycles import Networks
from vipnas_cli.search.task import SearchPlan, SearchTask
from vipnas_cli.spec import Budget, CycleSpace


@pytest.fixture(scope="session")
def small_task(small_cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets) -> SearchTask:
    """A search of a dozen candidates, with all its baselines."""
    plan = SearchPlan(Budget(1e6, "macs"), evaluations=5, seed=3, predictor=False, baselines=True)
    return SearchTask(plan, small_cycles, small_networks, small_clips)
