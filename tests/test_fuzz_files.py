"""Files of every kind that are read, changed in every way: a sentence or a result, soon, and nothing else touched.

A small part runs always; `pytest -m fuzz` runs the whole.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import numpy as np
import pytest

from vipnas_cli.bundle.reader import open_bundle, read_manifest
from vipnas_cli.cli.configuration import configured_data
from vipnas_cli.cli.data_check_job import CheckOptions, check_job
from vipnas_cli.cli.info_job import describe
from vipnas_cli.data.files.boxes import read_boxes
from vipnas_cli.data.files.coco import read_images, read_people
from vipnas_cli.data.files.detections import read_detections
from vipnas_cli.data.files.posetrack import read_truth
from vipnas_cli.errors import VipnasError
from vipnas_cli.inference.onnx import OnnxEstimator, pipeline_from_onnx
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.latency.machine import Machine, PipelineTimes, load_measurements, remember
from vipnas_cli.latency.table import Correction, LatencyTable
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import COCO17, POSETRACK18_FILE, Skeleton
from vipnas_cli.results.coco import CocoSink, read_coco
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.jsonl import JsonlSink
from vipnas_cli.results.parquet import ParquetSink, read_parquet
from vipnas_cli.results.posetrack import PoseTrackSink, read_posetrack
from vipnas_cli.results.sink import ResultSink
from vipnas_cli.results.table import CsvSink, WideSink, read_table
from vipnas_cli.spec import ArchSpec, FusionSpec, HeadSpec, Plan, Schedule, StageSpec, StemSpec, read_schedule

FORMAT_1 = Path(__file__).parent / "bundle" / "format_1"
NETWORK = "fast-64x32-098b8c.onnx"
STAGES = tuple(StageSpec(8, 1, 3, 1, 2, False) for _ in range(6))
ARCH = ArchSpec("fast", 64, 32, StemSpec(8, 3), STAGES, HeadSpec(8, 2, 1))
HERE = Machine("a processor", 4, "Linux x86_64", "1.31.1")
# No reader needs a tenth of it for files as small.
SECONDS = 20.0
FEW, MANY = 3, 40


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, its content, and everything that reads it."""

    name: str
    content: bytes
    readers: tuple[Callable[[Path], object], ...]

    def __str__(self) -> str:
        return self.name


def _coco() -> dict[str, Any]:
    person = {
        **{"id": 5, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 300.0, "num_keypoints": 17, "score": 0.5},
        **{"bbox": [1.0, 2.0, 30.0, 20.0], "keypoints": [10.0, 12.0, 2] * 17, "source": "teacher"},
        "teacher_scores": [0.5] * 17,
    }
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 48}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    return {"info": {"source": "x"}, "images": [image], "annotations": [person, person], "categories": [category]}


def _posetrack() -> dict[str, Any]:
    row = {"id": 1, "image_id": 7, "track_id": 0, "bbox": [5, 5, 20, 40], "bbox_head": [5, 5, 8, 8]}
    row = {**row, "keypoints": [10.0, 20.0, 1.0] * 17, "scores": [0.5] * 17}
    image = {"id": 7, "file_name": "images/val/w/0.png"}
    image = {**image, "ignore_regions_x": [[1, 2, 3]], "ignore_regions_y": [[1, 2, 1]]}
    return {"images": [image], "annotations": [row], "categories": [{"id": 1, "keypoints": list(POSETRACK18_FILE)}]}


def _results(folder: Path, sink: Callable[[Path, Skeleton, ResultHeader], ResultSink], name: str) -> bytes:
    header = ResultHeader("clip.mp4", 64, 48, Fraction(1, 25), "p", "off")
    points = np.ones((1, 17, 3), np.float32)
    people = People(np.array([3]), np.ones((1, 4), np.float32), points[..., :2], points[..., 2])
    with sink(folder / name, COCO17, header) as file:
        file.write(FrameResult(0, 0, 0.0, people, True), None)
    return (folder / name).read_bytes()


def _text_kinds() -> list[Kind]:
    table = LatencyTable(HERE, 1, "2026-01-01", 17, {"stem fast 8 3 64 32": 0.1}, Correction())
    recipe = 'kind = "pose"\npreset = "fast-base"\nheight = 64\nwidth = 64\nbatch = 4\n[loop]\nsteps = 4\n'
    recipe += '[scene]\nmost = 3\n[[data]]\nformat = "synthetic"\ncount = 3\nshare = 1.0\n'
    rows = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}] * 3
    schedule = Schedule((Plan(ARCH), Plan(ARCH, FusionSpec("add", 2))))
    return [
        Kind("coco.json", json.dumps(_coco()).encode(), (describe, read_people, read_images, read_boxes, _checked)),
        Kind("track.json", json.dumps(_posetrack()).encode(), (describe, read_truth, _checked)),
        Kind("rows.json", json.dumps(rows).encode(), (read_boxes, lambda path: read_detections(path, {1}))),
        Kind("boxes.csv", b"frame,x,y,width,height,score\n0,1,2,3,4,0.5\n1,1,2,3,4,1\n", (read_boxes, describe)),
        Kind("boxes.txt", b"1,1,10,20,30,60,1,1,0.5\n2,1,10,20,30,60,1,3,1\n", (read_boxes,)),
        Kind("schedule.json", json.dumps(schedule.to_json()).encode(), (describe, lambda p: read_schedule(str(p)))),
        Kind("table.json", json.dumps(table.to_json()).encode(), (LatencyTable.read, describe)),
        Kind("recipe.toml", recipe.encode(), (describe,)),
        *_searched(),
        Kind("config.toml", b'data = "/data"\nother = [1, 2]\n', (lambda _: configured_data(),)),
    ]


def _searched() -> list[Kind]:
    """What a search writes."""
    problem = {"mode": "joint", "frames": "2", "budget": "3ms", "method": "random", "predictor": False, "seed": 4}
    row = {"method": "random", "macs": 1e8, "ms": 2.5, "score": 60.5, "spec": "pareto/01-0123456789ab.json"}
    summary = {"problem": problem, "synthetic_clips": True, "evaluations": {"random": 2}, "winner": row, "front": [row]}
    lines = [{"format": 1, "problem": problem}, row, row]
    times = json.dumps({"plan": Plan(ARCH).to_json(), "ms": 1.5})
    return [
        Kind("candidates.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode(), (describe,)),
        Kind("summary.json", json.dumps(summary).encode(), (describe,)),
        Kind("measured.jsonl", f"{times}\n{times}\n".encode(), (describe,)),
    ]


def _kinds(folder: Path) -> list[Kind]:
    folder.mkdir()
    remember(folder / "memory.json", HERE, {"a": {1: PipelineTimes(3.0, 4.5, 5.0)}})
    memory = (folder / "memory.json").read_bytes()
    return [
        *_text_kinds(),
        Kind("memory.json", memory, (lambda path: load_measurements(path, HERE), _remembered)),
        Kind("poses.csv", _results(folder, CsvSink, "poses.csv"), (describe,)),
        Kind("poses.jsonl", _results(folder, JsonlSink, "poses.jsonl"), (describe,)),
        Kind("poses.wide.csv", _results(folder, WideSink, "poses.wide.csv"), (describe, read_table)),
        Kind("run.json", _results(folder, CocoSink, "run.json"), (describe, read_coco)),
        Kind("run.posetrack.json", _results(folder, PoseTrackSink, "run.posetrack.json"), (describe, read_posetrack)),
        Kind("facts.csv-metadata.json", (folder / "poses.csv-metadata.json").read_bytes(), (_beside_a_table,)),
        *_parquet(folder),
        Kind("manifest.json", (FORMAT_1 / "manifest.json").read_bytes(), (_opened, describe)),
        Kind("network.onnx", (FORMAT_1 / NETWORK).read_bytes(), (describe, _estimated)),
        *_checkpoints(folder),
    ]


def _parquet(folder: Path) -> list[Kind]:
    if find_spec("pyarrow") is None:
        return []
    return [Kind("poses.parquet", _results(folder, ParquetSink, "poses.parquet"), (describe, read_parquet))]


def _beside_a_table(path: Path) -> None:
    table = path.with_name("facts.csv")
    table.write_text("frame,time_s,person,keypoint,x,y,score\n")
    read_table(table)


def _checkpoints(folder: Path) -> list[Kind]:
    try:
        from vipnas_cli.nets.checkpoints import load_checkpoint, load_detector, load_pose_net, save_checkpoint
        from vipnas_cli.nets.posenet import PoseNet
    except ImportError:
        return []
    path, plan = folder / "net.safetensors", Plan(ARCH, FusionSpec("add", 2))
    net = PoseNet(plan.arch, 5, plan.fusion)
    header = {"kind": "pose", "plan": plan.to_json(), "keypoints": 5, "step": 3, "training": {"recipe": {"name": "x"}}}
    save_checkpoint(path, net.state_dict(), header)
    return [Kind(path.name, path.read_bytes(), (describe, load_checkpoint, load_pose_net, load_detector))]


def _checked(path: Path) -> None:
    check_job(CheckOptions(path, quiet=True))


def _remembered(path: Path) -> None:
    remember(path, HERE, {"b": {1: PipelineTimes(3.0, 4.5, 5.0)}})


def _opened(path: Path) -> None:
    read_manifest(path.parent)
    bundle = open_bundle(path.parent)
    for network in (network for pipeline in bundle.pipelines for network in pipeline.networks):
        network.read()


def _estimated(path: Path) -> None:
    pipeline = pipeline_from_onnx(path)
    arch = pipeline.schedule.plans[0].arch
    if arch.height * arch.width > 256 * 256:
        return
    OnnxEstimator(pipeline, RuntimeOptions(1)).estimate(0, np.zeros((1, arch.height, arch.width, 3), np.uint8), None)


ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**31, 2**63, 10**30, 1e300, -1e300, math.nan, math.inf),
    *("", "x", "1", "../victim", "/etc/passwd", "a\0b", "\ud800", "[/red]", "\x1b[31m", "x" * 100_000),
    *([], {}, [1], [[]], {"a": {}}, [None] * 20, ["x"]),
)


def changed_json(content: bytes, random: Random) -> bytes:
    """The document with one to three values replaced, left out, doubled or nested."""
    document = json.loads(content)
    for _ in range(random.randint(1, 3)):
        owner, key = random.choice(list(_places(document)))
        match random.randrange(5):
            case 0:
                del owner[key]
            case 1 if isinstance(owner, dict):
                owner[random.choice(["x", "", "file", "../x"])] = owner.pop(key)
            case 2:
                owner[key] = [owner[key]] if random.random() < 0.7 else _nested(owner[key], 200)
            case _:
                owner[key] = copy.deepcopy(random.choice(ODD))
        if not document:
            break
    return json.dumps(document).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every owner and key of a document; of long lists the first entries."""
    keys = list(value) if isinstance(value, dict) else list(range(min(len(value), 6)))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list) and value[key]:
            yield from _places(value[key])


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def changed_bytes(content: bytes, random: Random) -> bytes:
    """The content with bits turned, a part cut off, doubled or replaced, or foreign bytes put in."""
    data = bytearray(content)
    place = random.randrange(len(data))
    foreign = (b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b"\0", b"\xff\xfe", b"1e999", b"NaN")
    match random.randrange(7):
        case 0:
            del data[place:]
        case 1:
            del data[place : place + random.randint(1, 40)]
        case 2:
            data[place:place] = random.randbytes(random.randint(1, 40))
        case 3:
            data[place:place] = data[place : place + random.randint(1, 400)]
        case 4:
            data[place:place] = random.choice(foreign)
        case _:
            for _ in range(random.randint(1, 4)):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def changed_header(content: bytes, random: Random) -> bytes:
    """A safetensors file whose JSON header, or what it says of the network, is changed."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if random.random() < 0.6:
        stated = header["__metadata__"]["vipnas"].encode()
        change = changed_json if random.random() < 0.8 else changed_bytes
        header["__metadata__"]["vipnas"] = change(stated, random).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = changed_json(json.dumps(header).encode(), random)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def changed_facts(content: bytes, random: Random) -> bytes:
    """An ONNX file whose statement of itself is changed; a change of its length damages the file, too."""
    start = content.find(b'{"cropping"')
    end = content.rfind(b"}") + 1
    return content[:start] + changed_bytes(content[start:end], random) + content[end:]


def changed(kind: Kind, random: Random) -> bytes:
    """The content of a kind, changed in one of the ways that fit it."""
    by_ending = {".json": changed_json, ".safetensors": changed_header, ".onnx": changed_facts}
    special = by_ending.get(Path(kind.name).suffix)
    return special(kind.content, random) if special and random.random() < 0.7 else changed_bytes(kind.content, random)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TimeoutError for what takes longer."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def traces(folder: Path) -> dict[str, str]:
    """All files of a folder with checksums."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def attack(folder: Path, kinds: list[Kind], rounds: int) -> None:
    """Reads every kind `rounds` times, each time changed in another way."""
    outside, inside = folder / "outside", folder / "outside" / "config" / "vipnas"
    inside.mkdir(parents=True)
    (outside / "victim").write_text("precious")
    for kind in kinds:
        before = traces(outside)
        for seed in range(rounds):
            path = inside / kind.name
            path.write_bytes(changed(kind, Random(f"{kind.name} {seed}")))
            shutil.copy(FORMAT_1 / NETWORK, inside / NETWORK)
            for number, reader in enumerate(kind.readers):
                where = f"{kind.name}, change {seed}, reader {number}"
                try:
                    with limited(SECONDS):
                        reader(path)
                except VipnasError as error:
                    told = f"{error.what} {error.hint}"
                    assert "\n" not in told, where
                    assert len(told) < 2000, where
                except Exception as error:
                    raise AssertionError(f"{where}: {error!r:.300}") from error
            for created in inside.iterdir():
                created.unlink()
        assert traces(outside) == before, kind.name


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Kind]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "outside" / "config"))
    return _kinds(tmp_path / "good")


def test_unchanged_files_are_read(tmp_path: Path, kinds: list[Kind]) -> None:
    (tmp_path / "outside" / "config" / "vipnas").mkdir(parents=True)
    refused = {("boxes.csv", 1), ("table.json", 1), ("net.safetensors", 3)}  # by readers of other kinds
    for kind in kinds:
        path = tmp_path / "outside" / "config" / "vipnas" / kind.name
        path.write_bytes(kind.content)
        shutil.copy(FORMAT_1 / NETWORK, path.parent / NETWORK)
        for number, reader in enumerate(kind.readers):
            if (kind.name, number) in refused:
                with pytest.raises(VipnasError):
                    reader(path)
            elif reader is not _checked:
                reader(path)


def test_a_few_changed_files_of_every_kind(tmp_path: Path, kinds: list[Kind]) -> None:
    attack(tmp_path, kinds, FEW)


@pytest.mark.fuzz
def test_many_changed_files_of_every_kind(tmp_path: Path, kinds: list[Kind]) -> None:
    assert MANY * len(kinds) >= 300
    attack(tmp_path, kinds, MANY)


def test_the_changes_repeat(kinds: list[Kind]) -> None:
    one, two = (changed(replace(kinds[0]), Random("1")) for _ in range(2))
    assert one == two
