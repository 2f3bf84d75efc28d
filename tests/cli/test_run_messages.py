"""What `vipnas run` says to programs: one document whatever happens, and a log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from vipnas_cli import __version__
from vipnas_cli.cli.app import main
from vipnas_cli.media.address import hidden

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"
FAST = ["--threads", "1", "-b", "0.07GFLOPs", "--boxes", "whole"]


class Told(NamedTuple):
    """How a command ended, and what went to stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def vipnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Runs a command line in a folder of its own, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vipnas_cli.cli.app.heed_signals", lambda: None)

    def run(*arguments: str) -> Told:
        monkeypatch.setattr("sys.argv", ["vipnas", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Told(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["run", "nothing.mp4", "--json"], 3, "VideoError"),
        (["run", "nothing.mp4", "--json", "--shard", "x"], 2, "UsageError"),
        (["run", "--json", "--nonsense"], 2, "UsageError"),
        (["info", "nothing", "--json"], 3, "InputError"),
    ],
)
def test_a_failure_is_a_document_and_a_sentence(
    vipnas: Callable[..., Told], arguments: list[str], code: int, kind: str
) -> None:
    found = vipnas(*arguments)
    error = json.loads(found.out)["error"]
    assert found.code == error["exit_code"] == code
    assert error["code"] == kind
    assert error["what"]
    assert found.err


def test_the_document_says_what_was_run_and_the_log_all_that_was_told(
    vipnas: Callable[..., Told], tmp_path: Path
) -> None:
    arguments = [str(CLIP), *FAST, "--end", "0.2", "-o", "out.csv"]
    arguments += ["--json", "--progress", "json", "--log-file", "run.log"]
    found = vipnas("run", *arguments)
    document = json.loads(found.out)
    assert document["command"] == ["vipnas", "run", *arguments]
    assert document["input"] == str(CLIP)
    assert (document["width"], document["height"], document["duration_s"]) == (640, 360, 7.0)
    assert document["version"] == __version__
    assert (document["budget"], document["budget_by_default"]) == ("0.07 GFLOPs", False)
    assert document["macs_per_person_frame"] > 0
    assert [json.loads(line)["done"] for line in found.err.splitlines()][-1] == document["frames"]
    log = (tmp_path / "run.log").read_text()
    for word in ("two_people.mp4: h264", "onnxruntime", "Network 0"):
        assert word in log
    vipnas("run", "nothing.mp4", "--log-file", "run.log")
    assert "nothing.mp4 does not exist. Check the path." in (tmp_path / "run.log").read_text().removeprefix(log)
    before = (tmp_path / "out.csv").read_text()
    wrong = vipnas("run", "nothing.mp4", "--log-file", "out.csv")
    assert "is no log" in wrong.err
    assert (tmp_path / "out.csv").read_text() == before


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_progress_of_several_inputs_is_json_alone(vipnas: Callable[..., Told], tmp_path: Path, jobs: str) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).symlink_to(CLIP)
    words = [*FAST, "--end", "0.1", "-o", "{name}.csv", "--json", "--progress", "json", "--jobs", jobs]
    found = vipnas("run", "a.mp4", "b.mp4", "missing.mp4", *words)
    rows = [json.loads(line) for line in found.err.splitlines()]
    ended = [row for row in rows if row["progress"] == "ended"]
    assert [(row["done"], row["total"]) for row in ended] == [(1, 3), (2, 3), (3, 3)]
    assert sorted(row["exit_code"] for row in ended) == [0, 0, 3]
    assert any("missing.mp4 does not exist" in row["facts"] for row in ended)
    assert json.loads(found.out)["exit_code"] == found.code == 3


@pytest.fixture
def drawn(tmp_path: Path, vipnas: Callable[..., Told]) -> Path:
    """A video that says that poses are drawn into it."""
    vipnas("run", str(CLIP), *FAST, "--end", "0.1", "-o", "drawn.mp4", "-q")
    return tmp_path / "drawn.mp4"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_notes_on_each_of_several_inputs_are_told_once_with_its_name_and_logged(
    vipnas: Callable[..., Told], drawn: Path, tmp_path: Path, jobs: str
) -> None:
    (tmp_path / "again.mp4").symlink_to(drawn)
    words = [*FAST, "--end", "0.1", "-o", "{name}.csv", "--jobs", jobs, "--blur-faces", "--overwrite"]
    told = vipnas("run", "drawn.mp4", "again.mp4", *words, "-v", "--log-file", "run.log").err
    log = [line.partition(" ")[2] for line in (tmp_path / "run.log").read_text().splitlines()]
    for lines in (told.splitlines(), log):
        for name in ("drawn.mp4", "again.mp4"):
            for note in ("poses are drawn in it already", r"\d+ % above the budget"):
                assert len([line for line in lines if re.match(f"{name}: {note}", line)]) == 1
            assert len([line for line in lines if f"Input {name}: h264" in line]) == 1
        # What holds for all inputs is told once.
        assert len([line for line in lines if "no pictures are written" in line]) == 1
        assert len([line for line in lines if "Pipeline " in line]) == 1
        assert len([line for line in lines if "onnxruntime" in line]) == 2
    quiet = vipnas("run", "drawn.mp4", "again.mp4", *words, "--json", "--log-file", "json.log")
    assert "drawn in it already" not in quiet.err
    assert quiet.out.count("drawn in it already") == 2
    assert (tmp_path / "json.log").read_text().count("drawn in it already") == 2
    rows = vipnas("run", "drawn.mp4", "again.mp4", *words, "--json", "--progress", "json").err.splitlines()
    notes = [json.loads(row)["notes"] for row in rows if '"ended"' in row]
    assert [any("drawn in it already" in note for note in each) for each in notes] == [True, True]


def test_the_pipeline_is_named_though_the_first_input_cannot_be_read(
    vipnas: Callable[..., Told], tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").symlink_to(CLIP)
    told = vipnas("run", "missing.mp4", "a.mp4", *FAST, "--end", "0.1", "-o", "{name}.csv").err
    assert told.count("Pipeline ") == 1


def test_names_are_told_as_they_are(vipnas: Callable[..., Told], tmp_path: Path) -> None:
    for name in (":fire:.mp4", "[red]x.mp4"):
        (tmp_path / name).symlink_to(CLIP)
    words = [*FAST, "--end", "0.1", "-o", "{name}.csv", "--log-file", "run.log"]
    told = vipnas("run", ":fire:.mp4", "[red]x.mp4", *words).err
    alone = vipnas("run", ":fire:.mp4", *words, "--progress", "json", "--overwrite").err
    for text in (told, (tmp_path / "run.log").read_text()):
        assert text.count(":fire:.mp4") >= 2
        assert text.count("[red]x.mp4") >= 2
    assert "written" in alone
    assert ":fire:.csv" in alone


def test_results_are_told_to_be_in_the_folders_that_have_some(vipnas: Callable[..., Told], tmp_path: Path) -> None:
    told = vipnas("run", "missing.mp4", "gone.mp4", "-o", "new/")
    assert told.code == 3
    assert "0 inputs done" in told.err
    assert "results in" not in told.err
    (tmp_path / "a.mp4").symlink_to(CLIP)
    told = vipnas("run", "missing.mp4", "a.mp4", *FAST, "--end", "0.1", "-o", "{name}/x.csv")
    assert ", results in a; 1 failed" in told.err


@pytest.mark.parametrize(("words", "said"), [(["--blur-faces"], "--blur-faces changes nothing"), ([], "")])
def test_options_for_pictures_without_pictures_are_told(
    vipnas: Callable[..., Told], words: list[str], said: str
) -> None:
    found = vipnas("run", str(CLIP), *FAST, "--end", "0.1", "-o", "a.csv", *words)
    assert said in found.err
    assert bool(said) == ("no pictures" in found.err)
    assert "no pictures" not in vipnas("run", str(CLIP), *FAST, "--end", "0.1", "-o", "a.mp4", *words).err


def test_words_of_the_command_line_keep_no_credentials() -> None:
    words = ["rtsp://a:secret@cam/x", "--input=rtsp://a:secret@cam/x", "clip.mp4", "-o", "a=b.csv"]
    assert [hidden(word) for word in words] == ["rtsp://cam/x", "--input=rtsp://cam/x", "clip.mp4", "-o", "a=b.csv"]


def test_a_missing_folder_is_refused_with_angles_too_and_steadiness_counts_steps(
    vipnas: Callable[..., Told], tmp_path: Path
) -> None:
    command = "run", str(CLIP), *FAST, "--end", "0.1", "--angles", "--steadiness", "-o"
    told = vipnas(*command, "reslts/x.csv")
    assert told.code != 0
    assert "the folder reslts does not exist" in told.err
    assert not list(tmp_path.iterdir())
    assert re.search(r"of 100 steps [\d.]+ with a jump, [\d.]+ with a spike", vipnas(*command, "results/").err)
    assert (tmp_path / "results" / "two_people_pose.angles.csv").exists()


def test_frames_of_a_folder_have_the_names_of_its_pictures(vipnas: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    for name in ("img6.png", "img10.png"):
        cv2.imwrite(str(tmp_path / "pics" / name), np.full((96, 64, 3), 90, np.uint8))
    assert vipnas("run", "pics", *FAST, "-o", "pics.json", "-o", "posetrack:walk.json").code == 0
    for name in ("pics.json", "walk.json"):
        images = json.loads((tmp_path / name).read_text())["images"]
        assert [image["file_name"] for image in images] == ["img6.png", "img10.png"]


@pytest.mark.parametrize("log", ["poses.csv", "poses.csv-metadata.json", "nothing.mp4"])
def test_a_log_is_no_result_and_no_input(vipnas: Callable[..., Told], tmp_path: Path, log: str) -> None:
    told = vipnas("run", "nothing.mp4", "-o", "csv:poses.csv", "--log-file", log)
    assert told.code == 2
    assert f"{log} is a result or an input, too" in told.err
    assert not list(tmp_path.iterdir())
