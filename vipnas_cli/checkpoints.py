"""Checkpoints: tensors in safetensors with a readable JSON header; loading never runs code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vipnas_cli.errors import WeightsError


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Writes tensors and header under a temporary name, then renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    save_file(plain, partial, {"vipnas": json.dumps(header, sort_keys=True)})
    os.replace(partial, path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a checkpoint; WeightsError for a missing, foreign or damaged file."""
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", "check the path")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("vipnas", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}", "restore or retrain it") from error
    if header is None:
        raise WeightsError(f"{path} was not written by vipnas", "use a checkpoint that `vipnas train` wrote")
    return tensors, header
