"""Brings a pose network of others into a bundle: alone on every frame, and with every set of bundled followers behind.

The bundle's manifest and its ONNX file say where the network came from, and how it is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from vipnas_cli import __version__
from vipnas_cli.bundle.archive import SUFFIX
from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.bundle.pipelines import SELECTION, SELECTION_ERROR, SELECTION_KEY, NetworkFile, Pipeline
from vipnas_cli.bundle.reader import FORMAT, MANIFEST, bundled_weights, open_bundle, read_manifest
from vipnas_cli.errors import WeightsError
from vipnas_cli.evaluation.clip_sets import ClipSet, SetSizes, clip_sets
from vipnas_cli.evaluation.pck import evaluate_clips
from vipnas_cli.evaluation.ranking import Rank, rank_of
from vipnas_cli.files import inside, make_folder, read_regular, write_bytes, write_json
from vipnas_cli.foreign.conventions import NOTHING_GIVEN, Given, Understood, understand
from vipnas_cli.foreign.graph_cost import check_countable, graph_cost
from vipnas_cli.foreign.pose_graph import Signature, wrapped
from vipnas_cli.foreign.signature import load_foreign, read_signature
from vipnas_cli.inference.metadata import to_metadata
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.pose import COCO17
from vipnas_cli.spec import ImportedSpec, Plan

LARGEST_FILE = 1_000_000_000
# Clips of synthetic people that rank the pipelines of a bundle.
CLIPS, FRAMES = 24, 8
UNKNOWN_LICENCE = "not stated"
# The score of a pipeline on those clips.
SYNTHETIC = "synthetic_PCK@0.1"


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, as the user states it: its name, its publisher, its licence."""

    name: str
    source: str = ""
    licence: str = UNKNOWN_LICENCE


@dataclass(frozen=True)
class Imported:
    """A network that was understood, and the pipelines that were made of it."""

    spec: ImportedSpec
    signature: Signature
    understood: Understood
    pipelines: tuple[Pipeline, ...]


def import_network(
    path: Path, out: Path, origin: Origin, size: tuple[int, int] | None = None, given: Given = NOTHING_GIVEN
) -> Imported:
    """Writes a bundle, a folder or a file ending in .vipnas, of the network in an ONNX file; WeightsError if it cannot.

    `size` (height, width) is that of the crops where the file leaves it open; `given` what the user knows.
    """
    data = read_foreign(path)
    model = load_foreign(data, path.name)
    signature = read_signature(model, path.name, size)
    understood = understand(model, signature, path.name, given)
    side = (signature.height, signature.width)
    graph = wrapped(model, signature, understood.conventions)
    # The cost is that of what runs: the nodes around the network multiply matrices, too.
    check_countable(model)
    cost = graph_cost(graph, {"images": np.zeros((1, *side, 3), np.uint8)})
    digest, padding = hashlib.sha256(data).hexdigest(), understood.conventions.padding
    spec = ImportedSpec(origin.name, *side, cost.macs, cost.parameters, digest, padding)
    facts = _facts(spec, signature, understood, origin)
    for key, value in to_metadata(facts).items():
        graph.metadata_props.add(key=key, value=value)
    with bundle_folder(out) as folder:
        make_folder(folder)
        pipelines = _written(folder, graph.SerializeToString(), spec, facts)
        if out.suffix == SUFFIX:
            drop_others(folder)
    return Imported(spec, signature, understood, pipelines)


def read_foreign(path: Path) -> bytes:
    """The content of a file to import; WeightsError if it cannot be read."""
    try:
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", "check the path") from error


def _facts(spec: ImportedSpec, signature: Signature, understood: Understood, origin: Origin) -> dict[str, Any]:
    """What the ONNX file and the manifest say of the network."""
    return {
        "format": 1,
        "vipnas": __version__,
        "kind": "pose",
        "plan": Plan(spec).to_json(),
        "macs": spec.macs,
        "parameters": spec.parameters,
        "skeleton": COCO17.name,
        "keypoints": list(COCO17.keypoints),
        "weights": "fp32",
        "origin": f"imported from {origin.source}" if origin.source else "imported",
        "licence": origin.licence,
        "imported": {
            "sha256": spec.sha256,
            "source": origin.source,
            "head": signature.head,
            "outputs": list(signature.outputs),
            "conventions": understood.conventions.to_json(),
            "keypoints_found_on_synthetic_people": round(understood.found, 4),
        },
    }


def _written(folder: Path, graph: bytes, spec: ImportedSpec, facts: dict[str, Any]) -> tuple[Pipeline, ...]:
    """Writes the network, copies of the followers, and the manifest; returns the scored pipelines."""
    digest = hashlib.sha256(graph).hexdigest()
    # Of what is written, as one file can be read in several ways.
    name = f"imported-{spec.name}-{digest[:6]}"
    write_bytes(inside(folder, f"{name}.onnx", WeightsError), graph)
    key = NetworkFile(folder / f"{name}.onnx", digest, spec.macs, spec.parameters, Plan(spec))
    return write_pipelines(folder, spec.name, key, facts)


def write_pipelines(folder: Path, name: str, key: NetworkFile, facts: dict[str, Any]) -> tuple[Pipeline, ...]:
    """Writes copies of the followers beside a key network and the manifest; returns the scored pipelines.

    Pipelines are called by the name and their cycle; `facts` are those of the key network.
    """
    networks, rows, found = {key.path.stem: _row(key, facts)}, [], []
    clips = clip_sets(None, SetSizes(CLIPS, 1, FRAMES)).scored
    alone = score_pipeline(Pipeline(name, (key,), {}), clips)
    for label, followers in follower_sets().items():
        for file in followers:
            if file.path.stem not in networks:
                write_bytes(inside(folder, file.path.name, WeightsError), file.read())
                networks[file.path.stem] = _row(file, {"origin": "bundled follower", "licence": "Apache-2.0"})
        own = tuple(NetworkFile(folder / f.path.name, f.sha256, f.macs, f.parameters, f.plan) for f in followers)
        pipeline = Pipeline(f"{name}{label}", (key, *own), {})
        scores = _scores(pipeline, alone, clips)
        found.append(Pipeline(pipeline.name, pipeline.networks, scores))
        rows.append(
            {"name": pipeline.name, "cycle": [key.path.stem, *(f.path.stem for f in followers)], "scores": scores}
        )
    manifest = {
        "format": FORMAT,
        "skeleton": COCO17.name,
        "licence": facts["licence"],
        "detector": None,
        "networks": networks,
        "pipelines": rows,
        "vipnas": __version__,
    }
    write_json(folder / MANIFEST, manifest)
    return tuple(found)


def drop_others(folder: Path) -> None:
    """Removes what an earlier bundle of that name held and the manifest does not name."""
    manifest = read_manifest(folder)
    detector = manifest["detector"] or {}
    rows = (*manifest["networks"].values(), detector, detector.get("verifier") or {})
    named = {row["file"] for row in rows if "file" in row}
    for path in folder.iterdir():
        if path.name not in {MANIFEST, *named}:
            path.unlink()


def _row(file: NetworkFile, about: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of a network."""
    own = {"file": file.path.name, "sha256": file.sha256, "macs": file.macs, "parameters": file.parameters}
    kept: dict[str, Any] = {key: about[key] for key in ("origin", "licence", "imported") if key in about}
    return {**own, "plan": file.plan.to_json(), "weights": about.get("weights", "fp32"), **kept}


def follower_sets() -> dict[str, tuple[NetworkFile, ...]]:
    """The bundled sets of followers by what their pipelines are called after the key network; "" for none at all.

    The same followers count once, whichever key network they stand behind; of two sets of one name the last counts.
    """
    found: dict[str, tuple[NetworkFile, ...]] = {"": ()}
    for pipeline in open_bundle(bundled_weights()).pipelines:
        followers = pipeline.networks[1:]
        if followers and followers not in found.values():
            light = "-light" if pipeline.name.endswith("-light") else ""
            found[f"-cycle{len(pipeline.networks)}{light}"] = followers
    return found


def _scores(pipeline: Pipeline, alone: Rank, clips: ClipSet) -> dict[str, float]:
    """What a pipeline scores on synthetic clips, and what ranks it; its key network has the score `alone` by itself.

    Synthetic people are easier to follow than real ones. So the rank is that of the key network, less the share that
    these followers lose on real clips behind bundled networks, with the standard error that ranks have there.
    """
    measured = score_pipeline(pipeline, clips) if len(pipeline.networks) > 1 else alone
    followers = tuple(network.sha256 for network in pipeline.networks[1:])
    ranked = [p for p in open_bundle(bundled_weights()).pipelines if p.scores.get(SELECTION_KEY)]
    same = [p for p in ranked if tuple(network.sha256 for network in p.networks[1:]) == followers]
    kept = fmean(p.selection / p.scores[SELECTION_KEY] for p in same) if followers and same else None
    return {
        SYNTHETIC: round(measured.score, 2),
        SELECTION: round(measured.score if kept is None else alone.score * kept, 2),
        SELECTION_ERROR: round(max((p.selection_error for p in ranked), default=measured.error), 2),
        SELECTION_KEY: round(alone.score, 2),
    }


def score_pipeline(pipeline: Pipeline, clips: ClipSet) -> Rank:
    """PCK@0.1 in percent on clips with the boxes of the labels, to rank the pipelines of one bundle."""
    estimator = OnnxEstimator(pipeline, RuntimeOptions())
    # The cycle as stated, so that every pipeline costs what its name says.
    rules = TrackerOptions(early_keys=False)
    return rank_of([evaluate_clips(estimator, clips.clips, rules, lambda path: clips.pictures[path]).clips])


def about_imported(imported: Imported) -> dict[str, Any]:
    """What was understood and written, as one JSON object."""
    understood = imported.understood
    return {
        "schema": 1,
        "network": asdict(imported.spec),
        "head": imported.signature.head,
        "outputs": list(imported.signature.outputs),
        "conventions": understood.conventions.to_json(),
        "keypoints_found": round(understood.found, 4),
        "next_best": round(understood.others[0].found, 4) if understood.others else None,
        "pipelines": [
            {
                "name": pipeline.name,
                "cycle": len(pipeline.networks),
                "macs_per_person_frame": round(pipeline.macs_per_person_frame),
                "scores": pipeline.scores,
            }
            for pipeline in imported.pipelines
        ],
    }
