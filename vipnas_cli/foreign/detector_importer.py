"""Brings a person detector of others into a bundle, in place of the one that is there.

The bundle's manifest and the ONNX file say where the detector came from, and how it is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vipnas_cli import __version__
from vipnas_cli.bundle.archive import SUFFIX
from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.bundle.reader import MANIFEST, bundled_weights, files_of, open_bundle, read_manifest
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import inside, make_folder, write_bytes, write_json
from vipnas_cli.foreign.detector_graph import DetectorSignature, wrapped_detector
from vipnas_cli.foreign.detector_signature import read_input
from vipnas_cli.foreign.detector_trials import (
    BELIEVED,
    NOTHING_STATED,
    DetectorGiven,
    DetectorUnderstood,
    understand_detector,
)
from vipnas_cli.foreign.graph_cost import GraphCost, graph_cost
from vipnas_cli.foreign.importer import Origin, drop_others, read_foreign
from vipnas_cli.foreign.signature import load_foreign
from vipnas_cli.inference.metadata import to_metadata


@dataclass(frozen=True)
class ForeignDetector:
    """A detector that was understood: its graph in our form, its cost on a picture of its size, its file's sha256."""

    origin: Origin
    signature: DetectorSignature
    understood: DetectorUnderstood
    graph: Any
    cost: GraphCost
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture that has the cost."""
        letterbox = self.understood.conventions.letterbox
        return letterbox.size or (letterbox.side, letterbox.side)


def read_detector(path: Path, origin: Origin, given: DetectorGiven = NOTHING_STATED) -> ForeignDetector:
    """The detector in an ONNX file; WeightsError says what was found where it is not understood."""
    data = read_foreign(path)
    model = load_foreign(data, path.name)
    signature = read_input(model, path.name)
    understood = understand_detector(model, signature, path.name, given)
    graph = wrapped_detector(model, signature, understood.conventions)
    letterbox = understood.conventions.letterbox
    size = letterbox.size or (letterbox.side, letterbox.side)
    cost = graph_cost(graph, {"images": np.zeros((1, *size, 3), np.uint8)})
    return ForeignDetector(origin, signature, understood, graph, cost, hashlib.sha256(data).hexdigest())


def add_detector(found: ForeignDetector, bundle: Path) -> None:
    """Makes a detector that of a bundle, a folder or a file ending in .vipnas; WeightsError if it is none."""
    open_bundle(bundle)
    with bundle_folder(bundle) as folder:
        _place(found, folder)


def bundled_with(found: ForeignDetector, out: Path) -> None:
    """Writes a bundle of the pipelines that come with the package and a detector."""
    source = bundled_weights()
    manifest = read_manifest(source)
    with bundle_folder(out) as folder:
        make_folder(folder)
        for pipeline in open_bundle(source).pipelines:
            for network in pipeline.networks:
                write_bytes(inside(folder, network.path.name, WeightsError), network.read())
        write_json(folder / MANIFEST, {**manifest, "detector": None})
        _place(found, folder)
        if out.suffix == SUFFIX:
            drop_others(folder)


def about_detector(found: ForeignDetector) -> dict[str, Any]:
    """What was understood, as one JSON object."""
    others = found.understood.others
    return {
        "schema": 1,
        "name": found.origin.name,
        "sha256": found.sha256,
        "source": found.origin.source,
        "licence": found.origin.licence,
        "size": found.size,
        "macs": found.cost.macs,
        "parameters": found.cost.parameters,
        "conventions": found.understood.conventions.to_json(),
        "average_precision_on_synthetic_people": round(found.understood.found, 4),
        "next_best": round(others[0].found, 4) if others else None,
    }


def _place(found: ForeignDetector, folder: Path) -> None:
    """Writes the file, names it in the manifest, and removes what found people before."""
    manifest = read_manifest(folder)
    facts = _facts(found)
    for key, value in to_metadata({**facts, "format": 1}).items():
        found.graph.metadata_props.add(key=key, value=value)
    data = found.graph.SerializeToString()
    digest = hashlib.sha256(data).hexdigest()
    # Of what is written, as one file can be read in several ways: the one before goes once the manifest is there.
    name = f"detector-{found.origin.name}-{digest[:6]}.onnx"
    write_bytes(inside(folder, name, WeightsError), data)
    letterbox = found.understood.conventions.letterbox
    row = {
        **facts,
        "file": name,
        "sha256": digest,
        "side": letterbox.side,
        "size": letterbox.size,
        "fit": letterbox.fit,
        "threshold": BELIEVED,
        "weights": "fp32",
    }
    now = {**manifest, "detector": row}
    write_json(folder / MANIFEST, now)
    for gone in files_of(manifest) - files_of(now):
        inside(folder, gone, WeightsError).unlink(missing_ok=True)


def _facts(found: ForeignDetector) -> dict[str, Any]:
    """What the ONNX file and the manifest say of the detector."""
    origin, understood = found.origin, found.understood
    return {
        "vipnas": __version__,
        "kind": "detector",
        "name": origin.name,
        "macs": found.cost.macs,
        "parameters": found.cost.parameters,
        "origin": f"imported from {origin.source}" if origin.source else "imported",
        "licence": origin.licence,
        "imported": {
            **asdict(found.signature),
            "sha256": found.sha256,
            "source": origin.source,
            "conventions": understood.conventions.to_json(),
            "average_precision_on_synthetic_people": round(understood.found, 4),
        },
    }
