"""Laws of output files: nothing is overwritten unasked, nothing appears before it is whole, nothing leads outside."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from vipnas_cli.errors import InputError, OutputError, UsageError, WeightsError
from vipnas_cli.files import (
    PartialFile,
    cannot_write,
    check_outputs,
    inside,
    make_folder,
    read_regular,
    scratch_folder,
    shown,
    whole_file,
    write_bytes,
    write_json,
    write_text,
)
from vipnas_cli.locks import LineLog, in_turn


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_partial_names_are_hidden_and_keep_their_kind(tmp_path: Path) -> None:
    assert PartialFile(tmp_path / "clip.pose.mp4").partial == tmp_path / ".clip.pose.partial.mp4"


def test_an_existing_output_is_refused_until_allowed(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    check_outputs([path])
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"out\.csv exists already"):
        check_outputs([path])
    check_outputs([path], overwrite=True)


def test_an_output_is_tried_where_nobody_makes_its_folder_later(tmp_path: Path) -> None:
    check_outputs([tmp_path / "nowhere" / "out.csv"])
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist"):
        check_outputs([tmp_path / "nowhere" / "out.csv"], tried=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a folder, not a file"):
        check_outputs([tmp_path / "folder"], overwrite=True, tried=True)
    check_outputs([tmp_path / "out.csv"], tried=True)
    assert names(tmp_path) == ["folder"]


def test_two_outputs_need_two_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named for two outputs"):
        check_outputs([tmp_path / "out.csv", tmp_path / "x" / ".." / "out.csv"])


@pytest.mark.parametrize("read", ["clip.mp4", "boxes.csv"])
def test_what_is_read_is_never_an_output(tmp_path: Path, read: str) -> None:
    inputs = [tmp_path / "clip.mp4", tmp_path / "boxes.csv"]
    for path in inputs:
        path.touch()
    (tmp_path / "link").symlink_to(tmp_path / read)
    for output in (tmp_path / read, tmp_path / "link"):
        with pytest.raises(UsageError, match="is a file that is read"):
            check_outputs([output], inputs, overwrite=True)


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
    file.keep(durable=True)
    assert (tmp_path / "out.txt").read_text() == "new"


def test_impossible_places_fail_up_front(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        PartialFile(tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        PartialFile(tmp_path / "nowhere" / "out.txt")
    with pytest.raises(OutputError, match="too long"):
        PartialFile(tmp_path / ("x" * 300))
    with pytest.raises(OutputError, match="too long"):
        check_outputs([tmp_path / ("x" * 300)])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="device or a pipe"):
        PartialFile(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OutputError):
        PartialFile(tmp_path / "circle")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        make_folder(tmp_path / "file" / "below")


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="open files have no names")
def test_what_leads_to_a_pipe_is_no_file() -> None:
    ends = os.pipe()
    try:
        with pytest.raises(OutputError, match="is a device or a pipe, not a file"):
            PartialFile(Path(f"/dev/fd/{ends[1]}"))
    finally:
        for end in ends:
            os.close(end)


def test_names_that_only_just_fit_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".csv", "é" * 127, "\udcff" * 255):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


def test_two_writers_of_one_output_do_not_meet_and_the_last_wins_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with whole_file(path) as first, whole_file(path) as second:
        assert first.partial != second.partial
        first.partial.write_text("first")
        second.partial.write_text("second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["out.txt"]


def test_a_link_under_the_partial_name_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    planted = PartialFile(tmp_path / "out.csv").partial
    planted.unlink()
    planted.symlink_to(victim)
    write_text(tmp_path / "out.csv", "rows")
    assert victim.read_text() == "precious"
    assert planted.is_symlink()
    assert not (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "out.csv").read_text() == "rows"


def test_a_partial_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    file = PartialFile(tmp_path / "out.csv")
    file.partial.unlink()
    file.partial.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        file.text()
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_link_named_as_output_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for target in ("there.csv", "not_yet.csv"):
        link = tmp_path / f"link_{target}"
        link.symlink_to(tmp_path / "disk" / target)
        write_text(link, "rows")
        assert link.is_symlink()
        assert (tmp_path / "disk" / target).read_text() == "rows"
    assert names(tmp_path / "disk") == ["not_yet.csv", "there.csv"]


def test_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "out", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "No space left")])
def test_a_failure_leaves_nothing_behind_and_the_older_file_as_it_was(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as file:
            file.partial.write_text("half")
            raise failure

    with pytest.raises(OutputError if isinstance(failure, OSError) else type(failure)):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    error = cannot_write(tmp_path / "out.txt", OSError(errno.ENOSPC, "No space left on device"))
    assert error.what == f"{tmp_path}/out.txt cannot be written: No space left on device"
    assert "room" in error.hint


def test_errors_of_other_files_are_not_told_as_those_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "out.txt"):
        (tmp_path / "missing").read_bytes()


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1]}, indent=None)
    assert (tmp_path / "a.json").read_text() == '{"a": [1]}\n'


def test_a_log_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with LineLog(path) as log:
        log.append("one")
    with path.open("a") as file:
        file.write("two\n" + "x" * 200_000)
    with LineLog(path, durable=True) as log:
        log.append("three")
    assert path.read_text() == "one\ntwo\nthree\n"
    with LineLog(path, anew=True) as log:
        log.append("four")
    assert path.read_text() == "four\n"
    LineLog(path, anew=True).close()
    assert not path.exists()


def test_a_link_into_a_missing_folder_names_it(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("nowhere/x.csv")
    with pytest.raises(OutputError, match="nowhere does not exist"):
        write_text(tmp_path / "link.csv", "x")


@pytest.mark.skipif(os.name == "nt", reason="locks differ there")
def test_whoever_wants_a_file_that_another_one_has_waits_for_it(tmp_path: Path) -> None:
    path, order = tmp_path / "new.json", []

    def add(number: int) -> None:
        with in_turn(path):
            order.append(number)

    # What a killed process left is no lock.
    (tmp_path / ".new.json.lock").touch()
    with ThreadPoolExecutor(4) as pool:
        with in_turn(path):
            waiting = [pool.submit(add, number) for number in range(4)]
            assert not wait(waiting, 0.2).done
            assert not order
            with in_turn(tmp_path / "other.json"):
                pass
        assert len(wait(waiting, 10).done) == 4
    assert sorted(order) == [0, 1, 2, 3]
    assert not list(tmp_path.iterdir())


def test_where_no_lock_can_be_made_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / ".a.json.lock").mkdir()
    with in_turn(tmp_path / "a.json"), in_turn(tmp_path / "missing" / "b.json"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".a.json.lock"]


def test_a_log_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with LineLog(path) as log:
        log.append("one")
        with pytest.raises(OutputError, match="another process is writing"):
            LineLog(path, anew=True)
    assert path.read_text() == "one\n"
    LineLog(path).close()
    assert path.exists()


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "C:\\x", "..\\x", "\\\\host\\x", "", "a\0b", 5, None, ["x"], "\ud800/.."],
)
def test_a_file_names_no_other_outside_its_folder(tmp_path: Path, name: object) -> None:
    with pytest.raises(WeightsError):
        inside(tmp_path, name, WeightsError)


def test_links_do_not_lead_outside_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "own").symlink_to("there")
    (folder / "out").symlink_to(tmp_path / "victim")
    (folder / "circle").symlink_to("circle")
    (folder / "up").symlink_to("..")
    assert inside(folder, "own") == folder / "own"
    assert inside(folder, "a/b") == folder / "a" / "b"
    for name in ("out", "up/victim"):
        with pytest.raises(InputError, match="outside"):
            inside(folder, name)


def test_a_folder_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert inside(tmp_path / "link", "x") == tmp_path / "link" / "x"


def test_a_scratch_folder_goes_also_if_a_signal_comes_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "a").write_text("a")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with scratch_folder(tmp_path) as other:
            assert other != folder
    make = Path.mkdir

    def interrupted(path: Path, mode: int) -> None:
        make(path, mode)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_only_regular_files_of_a_stated_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    assert read_regular(tmp_path / "file", 10) == bytes(10)
    with pytest.raises(OSError, match="larger than"):
        read_regular(tmp_path / "file", 9)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"no regular file|directory"):
            read_regular(path, 10)


def test_names_are_shown_in_one_line_of_text() -> None:
    assert (
        shown(Path("a/caf\udce9\n\x1b[31m.mp4"))
        == "a/caf\N{REPLACEMENT CHARACTER}" + "\N{REPLACEMENT CHARACTER}" * 2 + "[31m.mp4"
    )
    assert shown("日本 é") == "日本 é"


def test_a_file_that_the_system_takes_no_more_of_leaves_nothing_behind(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"out\.bin cannot be written: File too large"):
            write_bytes(path, bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out.bin"]
