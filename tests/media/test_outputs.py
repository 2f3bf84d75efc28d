"""Laws of output files: nothing is overwritten unasked, nothing appears before it is whole."""

from pathlib import Path

import pytest

from vipnas_cli.errors import OutputError
from vipnas_cli.media.outputs import PartialFile, check_outputs, partial_name


def test_partial_names_are_hidden_and_keep_their_kind() -> None:
    assert partial_name(Path("a/clip.pose.mp4")) == Path("a/.clip.pose.partial.mp4")


def test_an_existing_output_is_refused_until_allowed(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    check_outputs([path])
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"out\.csv exists already"):
        check_outputs([path])
    check_outputs([path], overwrite=True)


def test_two_outputs_need_two_names(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="named for two outputs"):
        check_outputs([tmp_path / "out.csv", tmp_path / "x" / ".." / "out.csv"])


def test_the_source_is_never_an_output(tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.touch()
    with pytest.raises(OutputError, match="is the video that is read"):
        check_outputs([tmp_path / "clip.mp4"], source, overwrite=True)


def test_keep_renames_and_discard_removes(tmp_path: Path) -> None:
    kept, dropped = PartialFile(tmp_path / "kept.txt"), PartialFile(tmp_path / "dropped.txt")
    kept.partial.write_text("whole")
    assert not kept.path.exists()
    kept.keep()
    dropped.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert kept.path.read_text() == "whole"


def test_keep_replaces_an_older_file(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("old")
    file = PartialFile(tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "old"
    file.partial.write_text("new")
    file.keep()
    assert (tmp_path / "out.txt").read_text() == "new"


def test_impossible_places_fail_up_front(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        PartialFile(tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        PartialFile(tmp_path / "nowhere" / "out.txt")
