"""Reads person boxes that another program found: CSV with a header, COCO-style JSON, or MOT text.

Shapes: N boxes.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.coco import read_json
from vipnas_cli.errors import DataError

Row = tuple[int, float, float, float, float, float]
BoxesByFrame = dict[int, NDArray[np.float32]]
_HINT = (
    "use a .csv with the columns frame,x,y,width,height[,score] (frame counts from 0), a .json list of "
    '{"frame": …, "bbox": [x, y, width, height], "score": …}, or a MOT .txt (frame counts from 1)'
)


def read_boxes(path: Path) -> BoxesByFrame:
    """Rows (N, 5) of x0, y0, x1, y1, score per frame index; DataError names the row that cannot be used."""
    readers = {".csv": _csv_rows, ".json": _json_rows, ".gz": _json_rows, ".txt": _mot_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is not a boxes file that is known", _HINT)
    if not path.is_file():
        raise DataError(f"{path} does not exist", "check the path")
    found: dict[int, list[list[float]]] = {}
    try:
        for number, (frame, x, y, width, height, score) in enumerate(reader(path), 1):
            if frame < 0 or not all(map(math.isfinite, (x, y, width, height, score))) or width <= 0 or height <= 0:
                raise DataError(
                    f"{path}, entry {number}: frame {frame}, box {[x, y, width, height]} is impossible", _HINT
                )
            found.setdefault(frame, []).append([x, y, x + width, y + height, score])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path} is not a boxes file: {error}", _HINT) from error
    return {frame: np.asarray(rows, np.float32) for frame, rows in found.items()}


def _csv_rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return [
            (
                int(row["frame"]),
                float(row["x"]),
                float(row["y"]),
                float(row["width"]),
                float(row["height"]),
                float(row.get("score") or 1),
            )
            for row in rows
        ]


def _json_rows(path: Path) -> list[Row]:
    rows = []
    for row in read_json(path):
        x, y, width, height = (float(value) for value in row["bbox"])
        frame = int(row["frame"] if "frame" in row else row["image_id"])
        rows.append((frame, x, y, width, height, float(row.get("score", 1))))
    return rows


def _mot_rows(path: Path) -> list[Row]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            parts = [float(part) for part in line.split(",")]
            score = parts[6] if len(parts) > 6 else 1.0
            rows.append((int(parts[0]) - 1, parts[2], parts[3], parts[4], parts[5], score))
    return rows
