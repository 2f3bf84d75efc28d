"""Facts about networks: folders of pipelines, exported ONNX files, and checkpoints; torch is not needed."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from vipnas_cli.bundle.pipelines import LARGEST_COST, DetectorFile, NetworkFile, VerifierFile
from vipnas_cli.bundle.reader import MANIFEST, open_bundle, read_manifest
from vipnas_cli.cli.console import command_line, naming
from vipnas_cli.cli.info_texts import Description, arch_line, plain, plan_line
from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import shown
from vipnas_cli.inference.sessions import FACTS, RuntimeOptions, open_session, read_metadata, read_network
from vipnas_cli.spec import ArchSpec, Plan, Schedule, SearchSpace

# Headers list tensors and a recipe; one of a hundred megabytes is no header but damage.
LARGEST_HEADER = 100_000_000
LENGTH_BYTES = 8
METADATA = "__metadata__"
CHECKPOINTS = DocumentKind("a checkpoint of vipnas", WeightsError, "use one that `vipnas train` wrote")
CYCLE = "cycle's followers"
# Networks that find people, and the kind that their headers state.
NO_PIPELINE = {"person detector": "detector", "verifier of boxes": "verifier"}


def describe_bundle(folder: Path) -> Description:
    """The facts of a folder of pipelines, or of one file that holds them, each network compared with its checksum."""
    bundle = open_bundle(folder)
    manifest = read_manifest(folder)
    files = list(dict.fromkeys(network for pipeline in bundle.pipelines for network in pipeline.networks))
    facts = {
        "format": manifest["format"],
        "licence": plain(manifest.get("licence")),
        "skeleton": bundle.skeleton,
        "pipelines": [
            f"{pipeline.name}: cycle of {len(pipeline.networks)}, "
            f"{pipeline.macs_per_person_frame / 1e9:.3f} GFLOPs per person and frame"
            f"{'' if pipeline.trained else ', untrained'}"
            for pipeline in bundle.by_cost
        ],
        "networks": [f"{file.path.name}: {plan_line(file.plan)}, {_state(file)}" for file in files],
        "detector": _named_state(bundle.detector)
        and f"{_named_state(bundle.detector)}{_descent(manifest['detector'])}",
        "verifier": _named_state(bundle.detector and bundle.detector.verifier),
        "size": f"{bundle.size / 1e6:.1f} MB",
    }
    kind = "pipelines in one file" if folder.is_file() else "folder of pipelines"
    return Description(kind, facts, command_line("models", *naming(folder)))


def describe_onnx(path: Path) -> Description:
    """The facts that an exported network states of itself; WeightsError for a foreign or damaged one."""
    data = read_network(path)
    session = open_session(data, str(path), RuntimeOptions(1))
    stated = read_metadata(session, str(path))
    inputs = [f"{value.name} {value.shape} {value.type}" for value in session.get_inputs()]
    facts: dict[str, Any] = {"size": f"{len(data) / 1e6:.1f} MB", "sha256": hashlib.sha256(data).hexdigest()}
    facts["checksum"] = _manifest_state(path, facts["sha256"])
    facts["inputs"] = inputs
    facts["outputs"] = [f"{value.name} {value.shape}" for value in session.get_outputs()]
    for name in ("macs", "parameters"):
        facts[name] = plain(stated.get(name))
    if isinstance(facts["macs"], int):
        facts["GFLOPs"] = round(min(facts["macs"], LARGEST_COST) / 1e9, 4)
    with FACTS.told(path):
        kind, line = _kind_of(stated)
    facts["network"] = line
    facts |= {name: plain(value) for name, value in stated.items() if isinstance(value, str | int | float | bool)}
    facts |= _training(stated.get("training"))
    starts = kind == "pose network" and "previous_heatmaps" not in [value.name for value in session.get_inputs()]
    return Description(f"{kind} in ONNX", facts, command_line("run", "clip.mp4", *naming(path)) if starts else "")


class _Tensor(TypedDict):
    """What a header says of a tensor, as far as it is read."""

    dtype: str
    shape: list[int]


def describe_checkpoint(path: Path) -> Description:
    """The facts in the header of a safetensors file; WeightsError for a foreign or damaged one."""
    header = read_header(path)
    tensors = CHECKPOINTS.convert({n: row for n, row in header.items() if n != METADATA}, path, dict[str, _Tensor])
    with CHECKPOINTS.told(path):
        stated = CHECKPOINTS.parse(str(header[METADATA]["vipnas"]), path, dict[str, Any])
        kind, line = _kind_of(stated)
        parameters = sum(math.prod(row["shape"]) for name, row in tensors.items() if _is_weight(name))
        types = sorted({row["dtype"] for row in tensors.values()})
        options = CHECKPOINTS.convert(stated.get("options", {}), path, dict[str, Any])
        state_of = _state_of(stated, path)
        following = command_line("info", state_of) if state_of else _following(kind, stated, path)
    facts = {
        "network": line,
        "keypoints": plain(stated.get("keypoints")),
        "step": plain(stated.get("step")),
        "of steps": plain(options.get("steps")),
        # A state holds the network twice, and the optimizer's numbers.
        "parameters": None if state_of else parameters,
        "number types": " ".join(types),
        "size": f"{path.stat().st_size / 1e6:.1f} MB",
        **_training(stated.get("training")),
    }
    told = f"the state for --resume of {state_of}; use that" if state_of else f"checkpoint of a {kind}"
    return Description(told, facts, following)


def _state_of(stated: dict[str, Any], path: Path) -> str:
    """The checkpoint, beside it, whose training resumes from this file; empty for a checkpoint itself."""
    return shown(path.with_name(Path(str(stated["state_of"])).name)) if "state_of" in stated else ""


def _following(kind: str, stated: dict[str, Any], path: Path) -> str:
    """The next useful command for a checkpoint."""
    if kind == "super-network":
        return ""
    if kind in NO_PIPELINE:
        return command_line("export", f"--{NO_PIPELINE[kind]}", path, "-o", "pipelines")
    follower = kind == CYCLE or Plan.from_json(stated["plan"]).fusion.operation != "none"
    return command_line("export", *(("KEY",) if follower else ()), path, "--name", "mine", "-o", "pipelines")


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file: its length in eight bytes, then the text; WeightsError otherwise."""
    try:
        if not path.is_file():
            raise WeightsError(f"{shown(path)} is no file", "check the path")
        size = path.stat().st_size
        with path.open("rb") as file, CHECKPOINTS.told(path):
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if not 2 <= length <= min(LARGEST_HEADER, size - LENGTH_BYTES):
                raise ValueError("its header is longer than the file")
            header = CHECKPOINTS.parse(file.read(length), path, dict[str, dict[str, Any]])
            ends = [int(row["data_offsets"][1]) for name, row in header.items() if name != METADATA]
            if LENGTH_BYTES + length + max(ends, default=0) != size:
                raise ValueError("it is cut off or longer than its header says")
    except OSError as error:
        raise WeightsError(f"{shown(path)} cannot be read: {error.strerror}", "check the path") from error
    except IndexError as error:
        raise WeightsError(f"{shown(path)} is not a readable safetensors file: {error}", CHECKPOINTS.hint) from error
    return header


def _kind_of(stated: dict[str, Any]) -> tuple[str, str]:
    """The kind of network that a header states, and the network in one line."""
    if "plan" in stated:
        return "pose network", plan_line(Plan.from_json(stated["plan"]))
    if "schedule" in stated:
        return CYCLE, "; ".join(plan_line(plan) for plan in Schedule.from_json(stated["schedule"]).plans[1:])
    if "space" in stated:
        space, fusions = SearchSpace.from_json(stated["space"]), stated.get("fusions") or []
        return "super-network", f"{space.family}, {', '.join(space.elastic)}, {len(fusions)} fusions"
    if isinstance(stated.get("imported"), dict):
        return "person detector", f"imported {plain(stated.get('name'))}"
    line = arch_line(ArchSpec.from_json(stated["arch"]))
    named = [long for long, kind in NO_PIPELINE.items() if kind == stated.get("kind", "detector")]
    if not named:
        raise ValueError(f"its kind is {brief(stated['kind'])}")
    return named[0], line


class _Share(TypedDict):
    """What a recipe says of one data set, as far as it is read."""

    format: NotRequired[str]
    path: NotRequired[str]
    share: NotRequired[float]


class _Recipe(TypedDict):
    """What a checkpoint says of its recipe, as far as it is read."""

    name: NotRequired[str]
    data: NotRequired[list[_Share]]


class _Training(TypedDict):
    """How a network was trained, as far as it is read."""

    recipe: NotRequired[_Recipe]
    start: NotRequired[str]
    command: NotRequired[str]


def _training(stated: Any) -> dict[str, Any]:
    """How a network was trained, as far as it says so."""
    try:
        found = CHECKPOINTS.convert(stated, "", _Training)
    except WeightsError:
        return {}
    recipe = found.get("recipe", {})
    rows = recipe.get("data", [])
    return {
        "recipe": recipe.get("name"),
        "data": [f"{row.get('path') or row.get('format')}, share {row.get('share', 0):g}" for row in rows],
        "start": found.get("start"),
        "command": found.get("command"),
    }


def _is_weight(name: str) -> bool:
    """Running statistics are no parameters."""
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _named_state(file: DetectorFile | VerifierFile | None, more: str = "") -> str | None:
    return None if file is None else f"{file.path.name}: {_state(file)}{more}"


def _descent(row: dict[str, Any]) -> str:
    """Where an imported network comes from, and its licence."""
    return f", {plain(row.get('origin'))}, licence {plain(row.get('licence'))}" if "imported" in row else ""


def _state(file: NetworkFile | DetectorFile | VerifierFile) -> str:
    try:
        file.read()
    except WeightsError as error:
        return error.what
    return f"{file.macs / 1e9:.3f} GFLOPs, checksum ok"


def _manifest_state(path: Path, sha256: str) -> str:
    """What the manifest beside a network says of its checksum."""
    try:
        manifest = read_manifest(path.parent)
    except WeightsError:
        return f"no {MANIFEST} beside it to compare with"
    detector = manifest["detector"] or {}
    rows = [*manifest["networks"].values(), detector, detector.get("verifier") or {}]
    known = [row.get("sha256") for row in rows if row.get("file") == path.name]
    if not known:
        return f"not named in {MANIFEST}"
    return f"as {MANIFEST} says" if sha256 in known else f"differs from {MANIFEST}: damaged or changed"
