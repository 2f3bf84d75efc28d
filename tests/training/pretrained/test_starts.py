"""The list of published weights is that of the names which recipes may give."""

from typing import get_args

import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.training.pretrained.starts import PRETRAINED  # noqa: E402
from vipnas_cli.training.recipe import Start  # noqa: E402


def test_every_start_but_scratch_has_weights() -> None:
    assert {*PRETRAINED, "scratch"} == set(get_args(Start))
