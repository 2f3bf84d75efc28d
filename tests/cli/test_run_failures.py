"""Bad input to `vipnas run`: one clear sentence, the right exit code, no traceback, nothing lost."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.bundle.reader import bundled_weights


def vipnas(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def fails(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("vipnas: ")
    for word in words:
        assert word in last


def test_a_missing_file(tmp_path: Path) -> None:
    fails(vipnas("run", "nothing.mp4", cwd=tmp_path), 3, "nothing.mp4")


def test_a_text_file_named_mp4(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    fails(vipnas("run", "text.mp4", cwd=tmp_path), 3, "text.mp4")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    fails(vipnas("run", "empty.mp4", cwd=tmp_path), 3, "empty.mp4")


def test_a_truncated_mp4(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:600])
    fails(vipnas("run", "cut.mp4", cwd=tmp_path), 3, "cut.mp4")


def test_a_pipe_through_which_nothing_comes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vipnas_cli", "run", "-", "-o", "out.csv"]
    result = subprocess.run(command, cwd=tmp_path, input="", capture_output=True, text=True, check=False, timeout=120)
    fails(result, 3, "nothing came through standard input")
    assert not (tmp_path / "out.csv").exists()


def test_no_picture_in_the_file(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    fails(vipnas("run", "sound.mp4", cwd=tmp_path), 3, "sound.mp4")


@pytest.mark.parametrize("budget", ["fast", "12", "-1GFLOPs", "0ms", "1parsec"])
def test_a_nonsense_budget(tmp_path: Path, clip: Path, budget: str) -> None:
    fails(vipnas("run", str(clip), f"--budget={budget}", cwd=tmp_path), 2, budget)


def test_a_budget_below_the_cheapest_pipeline_names_it(tmp_path: Path, clip: Path) -> None:
    fails(vipnas("run", str(clip), "--budget", "1kFLOPs", cwd=tmp_path), 2, "the cheapest is".capitalize())


def test_an_output_that_exists_is_kept(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.csv").write_text("precious")
    fails(vipnas("run", str(clip), "-o", "out.csv", cwd=tmp_path), 1, "out.csv", "--overwrite")
    assert (tmp_path / "out.csv").read_text() == "precious"


def test_an_unknown_kind_of_output(tmp_path: Path, clip: Path) -> None:
    fails(vipnas("run", str(clip), "-o", "out.gif", cwd=tmp_path), 2, "out.gif", ".mp4")


def test_an_output_in_a_folder_that_does_not_exist(tmp_path: Path, clip: Path) -> None:
    fails(vipnas("run", str(clip), "-o", "no/where/out.mp4", cwd=tmp_path), 1, "no/where")
    assert list(tmp_path.iterdir()) == []


def test_foreign_weights(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "foreign.onnx").write_bytes(b"not a network")
    fails(vipnas("run", str(clip), "--weights", "foreign.onnx", cwd=tmp_path), 4, "foreign.onnx")
    (tmp_path / "folder").mkdir()
    fails(vipnas("run", str(clip), "--weights", "folder", cwd=tmp_path), 4, "folder")
    fails(vipnas("run", str(clip), "--weights", "missing", cwd=tmp_path), 4, "missing")


def test_a_boxes_file_that_is_none(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "boxes.csv").write_text("a,b\n1,2\n")
    fails(vipnas("run", str(clip), "--boxes", "boxes.csv", "-o", "out.csv", cwd=tmp_path), 3, "boxes.csv")
    assert not (tmp_path / "out.csv").exists()


def test_the_input_is_never_overwritten(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip.read_bytes())
    fails(vipnas("run", "mine.mp4", "-o", "mine.mp4", "--overwrite", cwd=tmp_path), 2, "mine.mp4")
    assert (tmp_path / "mine.mp4").read_bytes() == clip.read_bytes()


def test_help_names_only_commands_that_work(tmp_path: Path) -> None:
    result = vipnas("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "run" in result.stdout
    assert bundled_weights().is_dir()


def test_a_detector_size_without_the_detector(tmp_path: Path, clip: Path) -> None:
    fails(vipnas("run", str(clip), "--boxes", "whole", "--detector-size", "416", cwd=tmp_path), 2, "--detector-size")
    fails(vipnas("run", str(clip), "--boxes", "whole", "--detect-every", "1", cwd=tmp_path), 2, "--detect-every")
    fails(vipnas("run", str(clip), "--boxes", "whole", "--verify", cwd=tmp_path), 2, "--verify has no use")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("info", "{clip}"), ("info", "{clip}", "--json"), ("--help",)])
def test_a_stdout_that_takes_no_more_is_told(clip: Path, arguments: tuple[str, ...]) -> None:
    words = [argument.format(clip=clip) for argument in arguments]
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()", *words]
    reader, closed = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full, os.fdopen(closed, "w") as pipe:
        for stdout, reason in ((full, "No space left on device"), (pipe, "What reads it has ended")):
            result = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
            assert result.returncode == 1
            assert "Traceback" not in result.stderr
            assert result.stderr.splitlines()[-1].startswith("vipnas: stdout cannot be written")
            assert reason in result.stderr


def test_weights_that_are_read_are_not_written_over(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "weights").mkdir()
    for file in bundled_weights().iterdir():
        (tmp_path / "weights" / file.name).symlink_to(file)
    output = ["-o", "weights/manifest.json", "--overwrite"]
    fails(vipnas("run", str(clip), "--weights", "weights", *output, cwd=tmp_path), 2, "is a file that is read")
