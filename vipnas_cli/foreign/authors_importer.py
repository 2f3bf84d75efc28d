"""Brings a network of the paper's authors into a bundle, and into a checkpoint to train on and to search behind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.archive import SUFFIX
from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.bundle.pipelines import NetworkFile, Pipeline
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import inside, make_folder, write_bytes
from vipnas_cli.foreign.authors import AuthorsCheckpoint, load_authors
from vipnas_cli.foreign.importer import UNKNOWN_LICENCE, Origin, drop_others, write_pipelines
from vipnas_cli.foreign.known import known_network
from vipnas_cli.inference.metadata import PEOPLE
from vipnas_cli.nets.checkpoints import save_checkpoint
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.onnx.exporter import Deployed
from vipnas_cli.onnx.graph import Converted, Graph, convert
from vipnas_cli.onnx.parity import Floats, Parity, compare_heatmaps, pose_inputs
from vipnas_cli.pose import COCO17, HeatmapCodec
from vipnas_cli.spec import Plan
from vipnas_cli.spec.cost import Cost, plan_cost


@dataclass(frozen=True)
class ImportedPreset:
    """A network of the authors, what it costs, and the pipelines that were made of it."""

    found: AuthorsCheckpoint
    cost: Cost
    pipelines: tuple[Pipeline, ...]

    def to_json(self) -> dict[str, Any]:
        """What was found and written, as one JSON object."""
        return {
            "schema": 1,
            "preset": self.found.preset,
            "sha256": self.found.sha256,
            "macs": self.cost.macs,
            "parameters": self.cost.parameters,
            "pipelines": [
                {
                    "name": pipeline.name,
                    "cycle": len(pipeline.networks),
                    "macs_per_person_frame": round(pipeline.macs_per_person_frame),
                    "scores": pipeline.scores,
                }
                for pipeline in self.pipelines
            ],
        }


def import_authors(path: Path, out: Path, checkpoint: Path, origin: Origin) -> ImportedPreset:
    """Writes the bundle and the checkpoint of the network in a file of the authors; WeightsError if it is none."""
    found = load_authors(path)
    origin = _completed(origin, found.sha256)
    plan = Plan(found.net.arch)
    cost = plan_cost(plan)
    facts = {
        "kind": "pose",
        "plan": plan.to_json(),
        "macs": cost.macs,
        "parameters": cost.parameters,
        "skeleton": COCO17.name,
        "keypoints": list(COCO17.keypoints),
        "origin": f"imported from {origin.source}" if origin.source else "imported",
        "licence": origin.licence,
        "imported": {"sha256": found.sha256, "source": origin.source, "preset": found.preset},
    }
    name = f"{origin.name}-{found.sha256[:6]}"
    made = _graph(found.net, f"{name}.onnx", facts)
    with bundle_folder(out) as folder:
        make_folder(folder)
        write_bytes(inside(folder, f"{name}.onnx", WeightsError), made.data)
        digest = hashlib.sha256(made.data).hexdigest()
        key = NetworkFile(folder / f"{name}.onnx", digest, cost.macs, cost.parameters, plan)
        pipelines = write_pipelines(folder, origin.name, key, {**facts, "weights": made.weights})
        if out.suffix == SUFFIX:
            drop_others(folder)
    header = {"kind": "pose", "plan": plan.to_json(), "keypoints": len(COCO17.keypoints), "training": {"start": name}}
    save_checkpoint(checkpoint, found.net.state_dict(), header)
    return ImportedPreset(found, cost, pipelines)


def _graph(net: PoseNet, name: str, facts: dict[str, Any]) -> Converted:
    """The ONNX file of a key network, held against torch."""
    codec = HeatmapCodec(net.arch.height, net.arch.width)
    axes = {"images": {0: PEOPLE}, "heatmaps": {0: PEOPLE}}

    def compare(expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Parity:
        return compare_heatmaps(expected[0], found[0], codec)

    return convert(Graph(Deployed(net), pose_inputs(net), ("heatmaps",), axes, compare), name, facts, "auto")


def _completed(origin: Origin, sha256: str) -> Origin:
    """The origin with source and licence of a known file where they are not stated."""
    known = known_network(sha256)
    if known is None:
        return origin
    licence = known.licence if origin.licence == UNKNOWN_LICENCE else origin.licence
    return replace(origin, source=origin.source or known.address, licence=licence)
