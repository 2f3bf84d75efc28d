"""What `vipnas doctor` does: look at packages, codecs, providers, weights and folders, and say what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from vipnas_cli.cli.configuration import usable_settings
from vipnas_cli.cli.console import plural, print_json, result_console
from vipnas_cli.cli.doctor_packages import Finding, package_findings
from vipnas_cli.cli.options import DoctorOptions

SCHEMA = 1
# Without the first two `run` cannot do its work; the others are what phones and the web deliver.
NEEDED_CODECS = (("h264", "r"), ("libx264", "w"))
USEFUL_CODECS = (("aac", "r"), ("aac", "w"), ("hevc", "r"), ("vp9", "r"), ("libdav1d", "r"))
CODEC_NAMES = {"h264": "H.264", "libx264": "H.264", "aac": "AAC", "hevc": "HEVC", "vp9": "VP9", "libdav1d": "AV1"}


def doctor_job(options: DoctorOptions, known: Callable[[], Mapping[str, frozenset[str]]]) -> int:
    """Prints all findings; returns the exit code, 1 if one of them is a failure.

    `known` has the options of each command, for which packages are needed.
    """
    findings = list(package_findings())
    # Without a package that is needed, the rest would fail for that reason only.
    if not any(finding.state == "fail" for finding in findings):
        from vipnas_cli.cli.doctor_trial import weight_findings

        findings += [*codec_findings(), *provider_findings(), *weight_findings(), *folder_findings()]
        findings += setting_findings(known())
    failed = any(finding.state == "fail" for finding in findings)
    if options.json:
        print_json({"schema": SCHEMA, "ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings, result_console())
    return 1 if failed else 0


def codec_findings() -> Iterator[Finding]:
    """What PyAV's FFmpeg can read and write."""
    from av.codec import Codec

    for name, mode in (*NEEDED_CODECS, *USEFUL_CODECS):
        what = f"{'reading' if mode == 'r' else 'writing'} {CODEC_NAMES[name]}"
        try:
            Codec(name, mode)  # type: ignore[arg-type]
        except ValueError:
            advice = "install PyAV with pip, whose wheels have it"
            needed = (name, mode) in NEEDED_CODECS
            yield Finding("fail" if needed else "warn", what, "not in this build of PyAV", advice)
        else:
            yield Finding("ok", what, f"PyAV has {name}")


def provider_findings() -> Iterator[Finding]:
    """Where ONNX Runtime can compute."""
    import onnxruntime

    found = onnxruntime.get_available_providers()
    if "CPUExecutionProvider" in found:
        yield Finding("ok", "ONNX Runtime", ", ".join(found))
    else:
        advice = "pip install --force-reinstall onnxruntime"
        yield Finding("fail", "ONNX Runtime", f"no CPUExecutionProvider, only {', '.join(found) or 'nothing'}", advice)


def folder_findings() -> Iterator[Finding]:
    """Whether results and measurements can be written."""
    from vipnas_cli.latency.machine import cache_folder, load_measurements, measurements_file, this_machine

    here = Path.cwd()
    written = _writable(here)
    advice = "" if written else "run vipnas in another folder, or name results with -o"
    yield Finding("ok" if written else "warn", "current folder", f"{here} {_can(written)}", advice)
    written = _writable(cache_folder())
    advice = "" if written else "name a folder in the environment variable VIPNAS_CACHE"
    yield Finding("ok" if written else "warn", "cache", f"{cache_folder()} {_can(written)}", advice)
    measurements = load_measurements(measurements_file(), this_machine())
    if measurements.note:
        yield Finding("warn", "measurements", measurements.note, "run vipnas bench, which writes the file anew")
    else:
        found = f"{len(measurements.pipelines)} pipelines measured on this machine"
        yield Finding("ok", "measurements", found, "" if measurements.pipelines else "vipnas bench measures them")


def setting_findings(known: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    """Files of settings that cannot be used: commands that take options from them do not work."""
    found, faults = usable_settings(known)
    for fault in faults:
        yield Finding("fail", "settings", fault.what, fault.hint)
    if not faults:
        yield Finding("ok", "settings", f"{plural(len(found), 'option')} set by files and the environment")


def _writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, or in the nearest folder above that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _can(written: bool) -> str:
    return "can be written to" if written else "cannot be written to"


def _print(findings: list[Finding], console: Console) -> None:
    for finding in findings:
        advice = f". To do: {finding.advice}" if finding.advice else ""
        console.print(f"{finding.state:4}  {finding.what}: {finding.found}{advice}")
    warnings, failures = (sum(finding.state == state for finding in findings) for state in ("warn", "fail"))
    if failures:
        console.print(f"{failures} must be put right before vipnas works.")
    else:
        console.print(f"vipnas works here; warnings: {warnings}. Next: vipnas run clip.mp4")
