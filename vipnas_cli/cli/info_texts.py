"""Facts about recipes, specifications, result files and videos."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.reader import MANIFEST
from vipnas_cli.cli.console import command_line
from vipnas_cli.data.files.coco import LABELS, Labels
from vipnas_cli.documents import LARGEST_LABELS, DocumentKind
from vipnas_cli.errors import DataError, InputError, SpecError
from vipnas_cli.files import shown
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.media.reader import open_video
from vipnas_cli.pose.skeletons import POSETRACK18_FILE
from vipnas_cli.results.facts import POSES, Results
from vipnas_cli.results.kinds import CSV, KINDS, MOT, Kind, output_named
from vipnas_cli.results.sink import FACTS_END
from vipnas_cli.spec import ArchSpec, ImportedSpec, Plan, Schedule, SearchSpace, TemporalSpace

DOCUMENTS_READ = DocumentKind("a document that vipnas knows", DataError, "check the file", LARGEST_LABELS)
LONGEST_FACT = 2000


@dataclass(frozen=True)
class Description:
    """What a file is, its facts as JSON values by name, and the next useful command."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    next: str = ""


def plain(value: object) -> str | int | float | None:
    """A value that a file states, if it is one of those that can be told in a line."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float) and len(str(value)) < LONGEST_FACT else None


def describe_recipe(path: Path) -> Description:
    """The facts of a training recipe."""
    from vipnas_cli.training.recipe import read_recipe

    recipe = read_recipe(str(path))
    data = [f"{row.format} {row.path or '(made on the spot)'}, share {row.share:g}" for row in recipe.data]
    facts = {
        "trains": recipe.kind,
        "preset": recipe.preset,
        "crop": f"{recipe.height}×{recipe.width}",
        "steps": recipe.loop.steps,
        "batch": recipe.batch,
        "data": data,
    }
    return Description("training recipe", facts, f"vipnas train {path} --data DATA -o checkpoint.safetensors")


def arch_line(arch: ArchSpec | ImportedSpec) -> str:
    """An architecture in one line."""
    if isinstance(arch, ImportedSpec):
        return f"imported {arch.name} {arch.height}×{arch.width}"
    return f"{arch.family} {arch.height}×{arch.width}, {sum(stage.depth for stage in arch.stages)} blocks"


def plan_line(plan: Plan) -> str:
    """A plan in one line."""
    fusion = plan.fusion
    return f"{arch_line(plan.arch)}, fusion {fusion.operation}{f' at F{fusion.stage}' if fusion.stage else ''}"


def _schedule(data: dict[str, Any]) -> Description:
    schedule = Schedule.from_json(data)
    facts = {"cycle": len(schedule), "networks": [plan_line(plan) for plan in schedule.plans], "key": schedule.key}
    return Description("schedule: one network per position of the cycle", facts)


def _plan(data: dict[str, Any]) -> Description:
    plan = Plan.from_json(data)
    return Description("specification of a network", {"network": plan_line(plan), "key": plan.key})


def _arch(data: dict[str, Any]) -> Description:
    arch = ArchSpec.from_json(data)
    return Description("specification of an architecture", {"architecture": arch_line(arch), "key": arch.key})


def _space(data: dict[str, Any]) -> Description:
    space = SearchSpace.from_json(data)
    crops = [f"{height}×{width}" for height, width in space.sizes]
    facts = {"family": space.family, "crops": crops, "varies": ", ".join(space.elastic), "networks": space.size}
    return Description("spatial search space", facts)


def _temporal_space(data: dict[str, Any]) -> Description:
    space = TemporalSpace.from_json(data)
    facts = {
        "followers": space.followers,
        "key network": space.key_space.family,
        "follower networks": space.follower_space.family,
        "fusions": " ".join(space.operations),
    }
    return Description("temporal search space", facts)


def _coco(data: dict[str, Any]) -> Description:
    found = LABELS.convert(data, "the document", Labels)
    people, categories, about = found["annotations"], found.get("categories") or [], data.get("info")
    about = about if isinstance(about, dict) else {}
    facts = {
        **{name: plain(about.get(name)) for name in ("source", "pipeline", "smoothing")},
        "images": len(found["images"]),
        "people": len({row["track_id"] for row in people if "track_id" in row}) or None,
        "annotations": len(people),
        "keypoints": max((len(row.get("keypoints") or ()) for row in categories), default=0),
    }
    joints = [tuple(row.get("keypoints") or ()) for row in categories]
    layout = "PoseTrack18's" if joints == [POSETRACK18_FILE] else "COCO's"
    return Description(f"keypoints of images in {layout} layout", facts)


# By the entries that tell the kinds of document apart; the first that fits counts.
DOCUMENTS: tuple[tuple[frozenset[str], Callable[[dict[str, Any]], Description]], ...] = (
    (frozenset({"images", "annotations", "categories"}), _coco),
    (frozenset({"plans"}), _schedule),
    (frozenset({"arch", "fusion"}), _plan),
    (frozenset({"key_space"}), _temporal_space),
    (frozenset({"family", "sizes"}), _space),
    (frozenset({"family", "stages"}), _arch),
)


def describe_document(path: Path, data: object) -> Description:
    """The facts of labels, or of a specification: architecture, network, schedule or search space."""
    for names, describe in DOCUMENTS:
        if isinstance(data, dict) and names <= data.keys():
            try:
                return describe(data)
            except (SpecError, DataError) as error:
                raise DataError(f"{shown(path)} is no valid document: {error.what}", "correct it") from error
    raise InputError(
        f"{path} is JSON, but nothing that vipnas knows",
        "known are COCO labels, architectures, networks, schedules, search spaces and summaries of searches",
    )


def describe_results(path: Path, stated: Kind | None = None) -> Description:
    """The facts of poses that `run` wrote as a table, JSON Lines or Parquet, as is stated or as the name ends."""
    output = output_named(path)
    kind = stated or (output.kind if output is not None else CSV)
    if kind.name == "angles":
        return Description("joint angles of a video, as a table", {"rows": len(POSES.read_text(path).splitlines()) - 1})
    kind = kind if kind.read is not None else CSV
    kind.check()
    assert kind.read is not None
    found: Results = kind.read(path)
    header, frames = found.header, found.frames
    people = {person for frame in frames for person in frame.people.ids.tolist()}
    facts = {
        "source": header.source,
        "size": f"{header.width}×{header.height}" if header.width else "",
        "pipeline": header.pipeline,
        "smoothing": header.smoothing if header.pipeline else "",
        # A table that has lost its facts has no word of frames without people.
        "frames": f"{len(frames)}{'' if found.whole else ' with people'}",
        "time": f"{frames[0].time_s:.2f} to {frames[-1].time_s:.2f} s" if frames else "",
        "people": len(people),
        "keypoints": len(found.keypoints),
    }
    layout = {"jsonl": "JSON Lines", "parquet": "a Parquet table", "wide": "a wide table"}.get(kind.name, "a table")
    return Description(f"keypoints of a video, as {layout}", facts)


def describe_written(path: Path, kind: Kind, told_by: str = "its name") -> Description:
    """What is known of a result for other programs, which is not read back, but for boxes, which a run takes."""
    if path.is_dir() != bool(kind.inside):
        found, wanted = ("folder", "file") if path.is_dir() else ("file", "folder")
        about = (
            f"by {told_by} a {found} of another program, as those of `vipnas run` are {wanted}s; vipnas reads neither"
        )
        return Description(about, {"kind": kind.name})
    files = sorted(path.iterdir()) if path.is_dir() else []
    count = "all" if kind.keypoints is None else len(kind.keypoints)
    holds = sorted((*(what.value for what in kind.holds), *[f"{count} keypoints"] * (count != 0), "ids of people"))
    facts = {"kind": kind.name, "holds": holds, "files": len(files) or ""}
    if kind is MOT:
        about = f"by {told_by} boxes of people as MOTChallenge text, which `vipnas run --boxes` takes"
        return Description(about, facts, command_line("run", "VIDEO", "--boxes", path))
    about = f"by {told_by} a result for other programs, as `vipnas run` writes them, which vipnas does not read back"
    return Description(about, facts)


def folder_kind(path: Path) -> Kind | None:
    """The kind of result that a folder holds by the names of its files, None for another folder."""
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    kinds = (kind for kind in KINDS if kind.inside and any(name.endswith(kind.inside) for name in names))
    return next(kinds, None) if MANIFEST not in names else None


def describe_facts(path: Path) -> Description:
    """The facts that lie beside a table."""
    table = path.with_name(path.name.removesuffix(FACTS_END))
    return Description(f"the facts about {table.name}, as CSVW", {}, command_line("info", table))


def describe_video(path: Path) -> Description:
    """The facts of a video; VideoError if it cannot be read."""
    with open_video(path) as reader:
        info = reader.info
    facts = {
        "size": f"{info.width}×{info.height}",
        "fps": round(float(info.average_rate), 3),
        "frames": info.frames,
        "duration": None if info.duration_s is None else f"{info.duration_s:.2f} s",
        "codec": f"{info.codec}, HDR ({info.color.hdr})" if info.color.hdr else info.codec,
        "rotation": _turn(info),
        "audio": ", ".join(info.audio) or "none",
    }
    return Description("video", facts, f"vipnas run {path} --budget 0.2GFLOPs")


def _turn(info: VideoInfo) -> str:
    """How the stored pictures are made upright."""
    if not info.mirrored:
        return f"{info.rotation}°, applied" if info.rotation else "none"
    if info.rotation == 180:
        return "mirrored left to right, applied"
    turn = f"{info.rotation}°, then " if info.rotation else ""
    return f"{turn}mirrored top to bottom, applied"
