"""Signals that ask a command to stop: those that come together are one wish, and ignored ones stay ignored."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from vipnas_cli.cli import signals
from vipnas_cli.cli.signals import STOPPING, heed_signals, heeding

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a system without SIGHUP")
NUMBERS = [signal.Signals[name] for name in STOPPING]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers as Python has them, and those of before afterwards."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, found in before.items():
        signal.signal(number, found)


def test_what_comes_together_is_one_wish_and_what_comes_later_another(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    clock = iter([10.0, 10.1, 10.2, 10.9, 20.0])
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(clock))
    with heeding(lambda: calls.append(1)):
        for number, count in ((1, 1), (1, 1), (15, 1), (2, 2), (1, 3)):
            signal.raise_signal(number)
            assert len(calls) == count
    heed_signals()
    before = [signal.getsignal(number) for number in NUMBERS]
    with heeding(lambda: None):
        pass
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heed_signals()
    with heeding(lambda: pytest.fail("heeded")):
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
