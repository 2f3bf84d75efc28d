"""Scores in the manifest of a bundle that is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.bundle.reader import MANIFEST, read_manifest
from vipnas_cli.files import write_json

Scores = Mapping[str, float]


def record_scores(bundle: Path, scores: Mapping[str, Scores]) -> None:
    """Adds scores to pipelines by their names, in place of those of the same names; the rest stays as it is.

    One that is NaN only takes the place: nobody knows it any more.
    """
    with bundle_folder(bundle) as folder:
        manifest = read_manifest(folder)
        for row in manifest["pipelines"]:
            found = {**row["scores"], **scores.get(row["name"], {})}
            row["scores"] = {name: score for name, score in found.items() if not math.isnan(score)}
        write_json(folder / MANIFEST, manifest)
