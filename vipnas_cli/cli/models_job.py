"""What `vipnas models` does: read bundles, look up what was measured, print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vipnas_cli.bundle.archive import SUFFIX
from vipnas_cli.bundle.pipelines import (
    SELECTION,
    SELECTION_ERROR,
    SELECTION_KEY,
    Bundle,
    DetectorFile,
    NetworkFile,
    Pipeline,
    VerifierFile,
)
from vipnas_cli.bundle.reader import MANIFEST, bundled_weights, open_bundle, with_detector
from vipnas_cli.cli.console import command_line, naming, print_json, result_console
from vipnas_cli.cli.options import ModelsOptions
from vipnas_cli.latency.choice import default_budget
from vipnas_cli.latency.machine import (
    Measurements,
    PipelineTimes,
    cache_folder,
    load_measurements,
    measurements_file,
    pipeline_key,
    this_machine,
)
from vipnas_cli.spec import Budget

SCHEMA = 1


@dataclass(frozen=True)
class Listed:
    """A pipeline of a bundle, with the threads that run takes and what was measured with them, if anything was."""

    pipeline: Pipeline
    threads: int | None
    times: PipelineTimes | None

    def to_json(self) -> dict[str, Any]:
        """The pipeline as an entry of the JSON document."""
        networks = self.pipeline.networks
        return {
            "name": self.pipeline.name,
            "cycle": len(networks),
            "networks": [{"file": file.path.name, "macs": file.macs, **_plan_facts(file)} for file in networks],
            "macs_per_person_frame": round(self.pipeline.macs_per_person_frame),
            "threads": self.threads,
            "measured": None if self.times is None else asdict(self.times),
            "scores": self.pipeline.scores,
        }


def models_job(options: ModelsOptions) -> None:
    """Prints the pipelines of one folder, or of all that are at hand."""
    folders = folders_at_hand() if options.weights is None else [options.weights]
    bundles = [open_bundle(folder) for folder in folders]
    measurements = load_measurements(measurements_file(), this_machine())
    if options.json:
        print_json({"schema": SCHEMA, "bundles": [_bundle_json(bundle, measurements) for bundle in bundles]})
        return
    console = result_console()
    for bundle in bundles:
        _print_bundle(bundle, measurements, console)
    if measurements.note:
        console.print(f"{measurements.note}.")
    weights = naming(options.weights)
    budget = default_budget(options.weights)
    chosen = bundles[0].within(Budget.parse(budget).value)
    if not chosen.trained:
        console.print(f"Next: {command_line('bench', *weights)}")
        return
    if len(bundles[0].pipelines) > 1:
        console.print(f"A budget of {budget}, the default, takes {chosen.name}; more is more accurate, less is faster.")
    console.print(f"Next: {command_line('run', 'clip.mp4', *weights, '--budget', budget)}")


def folders_at_hand() -> list[Path]:
    """The bundled pipelines, then what lies under `pipelines` in the cache."""
    cache = cache_folder() / "pipelines"
    cached = [path.parent for path in cache.glob(f"*/{MANIFEST}")] + list(cache.glob(f"*{SUFFIX}"))
    return [bundled_weights(), *sorted(cached)]


def _listed(bundle: Bundle, measurements: Measurements) -> list[Listed]:
    """The pipelines from cheap to dear."""
    found, detector = [], with_detector(bundle).detector
    for pipeline in bundle.by_cost:
        key = pipeline_key(pipeline, detector)
        threads = measurements.fastest_threads(key, pictures=False)
        found.append(Listed(pipeline, threads, None if threads is None else measurements.times(key, threads)))
    return found


def _plan_facts(file: NetworkFile) -> dict[str, Any]:
    arch, fusion = file.plan.arch, file.plan.fusion
    return {
        "height": arch.height,
        "width": arch.width,
        "fusion": fusion.operation,
        "fusion_stage": fusion.stage,
        "parameters": file.parameters,
    }


def _bundle_json(bundle: Bundle, measurements: Measurements) -> dict[str, Any]:
    detector = bundle.detector
    return {
        "folder": str(bundle.folder),
        "skeleton": bundle.skeleton,
        "bytes": bundle.size,
        "pipelines": [listed.to_json() for listed in _listed(bundle, measurements)],
        "detector": None
        if detector is None
        else {
            "file": detector.path.name,
            "macs": detector.macs,
            "side": detector.letterbox.side,
            "size": detector.letterbox.size,
            "threshold": detector.threshold,
            "verifier": _verifier_json(detector.verifier),
        },
    }


def _verifier_json(file: VerifierFile | None) -> dict[str, Any] | None:
    return None if file is None else {"file": file.path.name, "macs": file.macs, "threshold": file.threshold}


def _print_bundle(bundle: Bundle, measurements: Measurements, console: Console) -> None:
    table = Table(box=None, pad_edge=False, title=f"Pipelines in {bundle.folder}", title_justify="left")
    for column in ("pipeline", "cycle", "networks: crop, fusion", "GFLOPs", "ms", "fps", "threads", "scores"):
        right = column in ("cycle", "GFLOPs", "ms", "fps", "threads")
        table.add_column(column, justify="right" if right else "left")
    listed = _listed(bundle, measurements)
    for row in listed:
        pipeline, times = row.pipeline, row.times
        table.add_row(
            pipeline.name,
            str(len(pipeline.networks)),
            _cycle(pipeline.networks),
            f"{pipeline.macs_per_person_frame / 1e9:.3f}",
            f"{times.network_ms:.1f}" if times else "–",
            f"{times.numbers_fps:.0f}" if times and times.numbers_fps else "–",
            str(row.threads or "–"),
            _scores(pipeline),
        )
    console.print(table)
    console.print(_detector(bundle.detector))
    console.print(
        f"{bundle.size / 1e6:.1f} MB on disk. GFLOPs and ms: networks, per person and frame; "
        "fps: a whole run with one person, numbers only."
    )
    if any(row.times is None for row in listed):
        bench = command_line("bench", *naming(None if bundle.folder == bundled_weights() else bundle.folder))
        console.print(f"– for ms and fps: not measured on this machine; {bench} does it.")
    console.print("")


def _scores(pipeline: Pipeline) -> str:
    if not pipeline.trained:
        return "untrained, for timing only"
    error = f" ± {pipeline.selection_error:g}" if pipeline.selection_error else ""
    told = [
        f"{name} {value:g}{error if name == SELECTION else ''}"
        for name, value in sorted(pipeline.scores.items())
        if name not in (SELECTION_ERROR, SELECTION_KEY)
    ]
    return ", ".join(told) or "–"


def _cycle(networks: Sequence[NetworkFile]) -> str:
    """The networks in the order of the cycle, equal neighbours counted."""
    parts = []
    for file, group in groupby(networks):
        arch, fusion = file.plan.arch, file.plan.fusion
        fused = "" if fusion.operation == "none" else f" {fusion.operation} F{fusion.stage}"
        count = len(list(group))
        parts.append(f"{arch.height}×{arch.width}{fused}" + (f" ({count} times)" if count > 1 else ""))
    return ", ".join(parts)


def _detector(file: DetectorFile | None) -> str:
    if file is None:
        return "Person detector: the bundled one."
    verified = f", and {file.verifier.macs / 1e9:.3f} to verify each box" if file.verifier else ""
    height, width = file.size
    return f"Person detector: {file.macs / 1e9:.3f} GFLOPs for {height}×{width}{verified}, on key frames only."
