"""Which inputs the words of a command line stand for, and where their results go."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.cli.run.inputs import Shard, seconds_of
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.plan import found_inputs, make_folders, planned
from vipnas_cli.errors import InputError, UsageError
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.results.kinds import output_named

TREE = ("a/cam.mp4", "a/notes.txt", "a/.hidden.mp4", "b/cam.MOV", "b/shot10.png", "c/2.png", "c/10.png", "top.mkv")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in TREE:
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("0:02", 2), ("1:10", 70), ("1:02:03.5", 3723.5), (".5", 0.5)]
)
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "1:", "-1", "nan", "1h", "1:2:3:4", "1e3"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/2"])
def test_what_is_no_part_of_a_whole(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # A folder of pictures without a video is one video; names keep the folders between.
        ("clips", ["top", "a/cam", "b/cam", "c"]),
        ("clips/c", ["c"]),
        ("clips/**/*.mp4", ["a/cam"]),
        ("clips/*", ["a/cam", "b/cam", "c", "top"]),
        ("clips/c/*", ["2", "10"]),
        ("clips/a/*.txt", ["notes"]),
        ("missing.mp4", ["missing"]),
    ],
)
def test_what_a_word_stands_for(tree: Path, text: str, names: list[str]) -> None:
    assert [one.name for one in found_inputs(text)] == names


@pytest.mark.parametrize("text", ["clips/empty", "clips/*.avi"])
def test_a_folder_or_pattern_without_inputs(tree: Path, text: str) -> None:
    (tree / "clips" / "empty").mkdir()
    with pytest.raises(InputError, match=r"no videos|matches"):
        found_inputs(text)


def results(*inputs: str, out: tuple[str, ...] = (), **options: object) -> list[tuple[str, ...]]:
    return [run.out for run in planned(RunOptions(inputs, out=out, **options)).runs]


def test_results_are_named_after_inputs(tree: Path) -> None:
    assert results("clips/top.mkv") == [("top_pose.mp4", "top_pose.csv")]
    assert results("clips/top.mkv", out=("x.csv",)) == [("x.csv",)]
    assert results("clips/b/shot10.png") == [("shot10_pose.jpg", "shot10_pose.csv")]
    found = results("clips/a", "clips/top.mkv", out=("out/", "tables/{name}.csv"))
    assert found == [
        ("out/cam_pose.mp4", "out/cam_pose.csv", "tables/cam.csv"),
        ("out/top_pose.mp4", "out/top_pose.csv", "tables/top.csv"),
    ]


def test_results_that_collide_are_refused(tree: Path) -> None:
    for inputs, out in ((("clips/a", "clips/b"), ("out/",)), (("clips",), ("x.csv",))):
        with pytest.raises(UsageError, match="would both be written to"):
            results(*inputs, out=out)


def test_one_file_under_two_names_is_told_as_such(tree: Path) -> None:
    (tree / "link").symlink_to(tree / "clips")
    for other in ("clips/a/../top.mkv", "link/top.mkv"):
        with pytest.raises(UsageError, match=r"top\.mkv and .*top\.mkv are the same file") as caught:
            results("clips/top.mkv", other, out=("out/",))
        assert "-o" not in caught.value.hint
    # Of what does not exist nobody knows.
    with pytest.raises(UsageError, match="would both be written to"):
        results("missing.mp4", "clips/../missing.mp4", out=("out/",))


def test_inputs_that_only_their_ending_tells_apart_keep_it(tree: Path) -> None:
    for name in ("cam.mov", "cam.mov.mkv", "cam.mov_pose.mp4", "cam.mov_pose.csv", "shot.mp4"):
        (tree / "clips" / "a" / name).touch()
    words = ["clips/a/cam.mov", "clips/a/cam.mp4", "clips/a/cam.mov.mkv", "clips/a/shot.mp4"]
    tables = [("cam.mov.csv",), ("cam.mp4.csv",), ("cam.mov.mkv.csv",), ("shot.csv",)]
    assert results(*words, out=("{name}.csv",)) == tables
    assert results(*words[::-1], out=("{name}.csv",)) == tables[::-1]
    boxes = planned(RunOptions(tuple(words), out=("{name}.csv",), boxes="{name}.json")).runs
    assert [run.boxes for run in boxes] == ["cam.mov.json", "cam.mp4.json", "cam.mov.mkv.json", "shot.json"]
    # Results of an earlier run are none of the inputs, and change no names.
    found = results("clips/a", out=("clips/a/",))
    assert sorted(out[1] for out in found) == [
        f"clips/a/{name}_pose.csv" for name in ("cam.mov.mkv", "cam.mov", "cam.mp4", "shot")
    ]
    parts = [results("clips/a", out=("clips/a/",), shard=f"{part}/2") for part in (1, 2)]
    assert [*parts[0], *parts[1]] == [*found[::2], *found[1::2]]


def test_results_change_no_names(tree: Path) -> None:
    """A result that has the name of an input but for the ending."""
    (tree / "clips" / "a" / "cam_pose.mov").touch()
    before = results("clips/a", out=("clips/a/",))
    for name in (path for run in before for path in run):
        Path(name).touch()
    assert results("clips/a", out=("clips/a/",)) == before


def test_stdout_has_one_name(tree: Path) -> None:
    out = ("/dev/stdout", "jsonl:/dev/stdout", "{name}.csv")
    (texts,) = results("clips/top.mkv", out=out, skip_existing=True)
    named = [output_named(text) for text in texts]
    assert [(one.kind.name, str(one.path)) for one in named if one] == [
        ("csv", "-"),
        ("jsonl", "-"),
        ("csv", "top.csv"),
    ]


def test_a_table_of_angles_beside_none_is_named_after_its_input(tree: Path) -> None:
    assert results("clips/top.v2.mkv", out=("-",), angles=True) == [("-", "top.v2_pose.angles.csv")]


def test_what_goes_to_stdout_is_never_there(tree: Path) -> None:
    assert results("clips/top.mkv", out=("-",), skip_existing=True) == [("-",)]


def test_a_word_twice_is_one_input_and_boxes_are_named_after_it(tree: Path) -> None:
    plan = planned(RunOptions(("clips/top.mkv", "clips/*.mkv", "clips/top.mkv"), boxes="boxes/{name}.csv"))
    assert [run.inputs for run in plan.runs] == [("clips/top.mkv",)]
    assert plan.runs[0].boxes == "boxes/top.csv"


def test_results_beside_the_videos_are_no_inputs(tree: Path) -> None:
    for name in ("cam_pose.mp4", "cam_pose.csv"):
        (tree / "clips" / "a" / name).touch()
    assert results("clips/a", out=("clips/a",), overwrite=True) == [
        ("clips/a/cam_pose.mp4", "clips/a/cam_pose.csv"),
    ]


def test_shards_share_the_inputs_among_them(tree: Path) -> None:
    parts = [results("clips", out=("out/",), shard=f"{part}/3") for part in (1, 2, 3)]
    assert sorted(out for part in parts for out in part) == sorted(results("clips", out=("out/",)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_only_whole_sets_of_results_are_skipped(tree: Path) -> None:
    for name in ("out/top.jsonl", "out/top.json", "out/c.jsonl"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    plan = planned(RunOptions(("clips",), out=("out/{name}.jsonl", "out/{name}.json"), skip_existing=True))
    assert plan.skipped == 1
    assert [run.out[0] for run in plan.runs] == ["out/a/cam.jsonl", "out/b/cam.jsonl", "out/c.jsonl"]


@pytest.mark.parametrize(
    ("out", "made"), [("new/x.csv", False), ("csv:new/x", False), ("new/", True), ("new/{name}.csv", True)]
)
def test_angles_make_no_folder_that_was_typed_with_a_file(tree: Path, out: str, made: bool) -> None:
    options = RunOptions(("clips/top.mkv",), out=(out,), angles=True)
    (run,) = planned(options).runs
    assert {path.parent for path in run.outputs} == {Path("new")}
    make_folders(run, options)
    assert Path("new").is_dir() == made


def test_videos_drawn_from_the_pictures_of_a_folder_do_not_take_their_place(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "clips" / "c")
    before = results(".", overwrite=True)
    info = VideoInfo(Path("x"), 64, 48, Fraction(1, 25), Fraction(25))
    with VideoWriter(Path("c_pose.mp4"), info, drawn=True) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0)
    assert [one.name for one in found_inputs(".")] == ["c"]
    assert results(".", overwrite=True) == before == [("c_pose.mp4", "c_pose.csv")]


def test_a_folder_named_like_a_picture_is_none(tree: Path) -> None:
    (tree / "clips" / "a" / "x.jpg").mkdir()
    (tree / "clips" / "a" / "cam.mp4").rename(tree / "clips" / "a" / "x.jpg" / "cam.mp4")
    assert [one.name for one in found_inputs("clips/a")] == ["x.jpg/cam"]


def test_names_that_were_made_state_no_kind(tree: Path) -> None:
    for name in ("csv:top.mkv", "top.mkv"):
        Path(name).touch()
    for out in ((), ("{name}.csv",), ("jsonl:{name}",)):
        plan = planned(RunOptions(("csv:top.mkv", "top.mkv"), out=out, angles=True))
        mine, others = (set(run.files) for run in plan.runs)
        assert not mine & others
        assert all(path.name.startswith("csv:") for path in mine)


def test_descriptors_of_this_process_are_not_read_by_others(tree: Path) -> None:
    for name in ("/dev/fd/62", "/proc/self/fd/62", "/dev/stdin"):
        assert len(results(name, "clips/top.mkv")) == 2
        assert len(results(name, jobs=2)) == 1
        with pytest.raises(UsageError, match="in this process alone") as caught:
            results(name, "clips/top.mkv", jobs=2)
        assert caught.value.hint == "leave out --jobs"
