"""A provider that is asked for by name runs or is refused; auto takes what is there and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from vipnas_cli.bundle.reader import open_bundle
from vipnas_cli.errors import UsageError
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.sessions import PROVIDERS, RuntimeOptions, available_providers

FORMAT_1 = Path(__file__).parents[1] / "bundle" / "format_1"


def estimator(provider: str) -> OnnxEstimator:
    return OnnxEstimator(open_bundle(FORMAT_1).pipelines[0], RuntimeOptions(1, provider))


def test_the_cpu_is_always_there() -> None:
    assert "cpu" in available_providers()
    assert estimator("cpu").provider == "CPUExecutionProvider"


def test_auto_says_what_it_took() -> None:
    assert estimator("auto").provider in PROVIDERS.values()


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_a_provider_that_is_not_here_is_refused_and_others_are_named(provider: str) -> None:
    if provider in available_providers():
        pytest.skip(f"{provider} is here")
    with pytest.raises(UsageError, match=provider) as caught:
        estimator(provider)
    assert "cpu" in caught.value.hint


def test_a_provider_that_cannot_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    if "cuda" in available_providers():
        pytest.skip("cuda is here")
    # The runtime was built with it, but its libraries are missing: it goes on with the CPU by itself.
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.warns(UserWarning, match="not in available"), pytest.raises(UsageError, match="cuda cannot start"):
        estimator("cuda")
