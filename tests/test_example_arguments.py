"""Words that an example program cannot use end it with one sentence, not with a traceback."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PEERS = ["clip.mp4", "--detector", "d.onnx", "--pose", "p.onnx"]


@pytest.mark.parametrize(
    ("program", "words", "what"),
    [
        ("start_speed", ["--pairs", "0"], "0 is no whole number above 0"),
        ("training_speed", ["--repeats", "0"], "0 is no whole number above 0"),
        ("training_speed", ["--batch", "-1"], "-1 is no whole number above 0"),
        ("training_speed", ["--size", "128"], "128 is no height x width"),
        ("training_speed", ["--size", "100x75"], "100x75 is no height x width in multiples of 32"),
        ("rank_correlation", ["net", "--data", "data", "--size", "128"], "128 is no height x width"),
        ("rank_correlation", ["net", "--data", "data", "--count", "0"], "0 is no whole number above 0"),
        ("peer_loop", [*PEERS, "--budget", "foo"], "budget 'foo' is not a number"),
        ("peer_loop", [*PEERS, "--budget", "6ms"], "budget '6ms' is not in FLOPs"),
        ("peer_loop", [*PEERS, "--repeats", "0"], "0 is no whole number above 0"),
        ("make_clip", [__file__], "test_example_arguments.py cannot be a folder: File exists"),
    ],
)
def test_they_are_told(
    load_example: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    words: list[str],
    what: str,
) -> None:
    example = load_example(program)
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        example.main()
    assert ended.value.code == 2
    assert what in capsys.readouterr().err


def test_a_super_network_that_is_not_there(
    load_example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    example = load_example("rank_correlation")
    monkeypatch.setattr(sys, "argv", ["rank_correlation", "nowhere.safetensors", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"nowhere.safetensors does not exist"):
        example.main()


def test_a_size_is_height_and_width(load_example: Callable[[str], ModuleType]) -> None:
    assert load_example("training_speed").size("128x96") == (128, 96)
