"""What `vipnas convert` does: read poses, hand them frame by frame to the sinks of a run, tell what is lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from math import gcd
from pathlib import Path
from textwrap import shorten

import numpy as np

from vipnas_cli.cli.console import message_console
from vipnas_cli.cli.convert.options import ConvertOptions
from vipnas_cli.cli.run.plan import NAME
from vipnas_cli.errors import InputError, UsageError
from vipnas_cli.files import check_outputs, make_parent, shown
from vipnas_cli.results.facts import ResultHeader, Results
from vipnas_cli.results.kinds import (
    CSV,
    KINDS,
    Holds,
    Kind,
    Output,
    check_stdout,
    output_named,
    source_named,
)

READ = " ".join(kind.end for kind in KINDS if kind.read)
WRITTEN = " ".join(kind.end for kind in KINDS)
# Of the names of keypoints that are left out, in a note.
LONGEST = 100
# What is written in place of what the poses read do not have.
INSTEAD = {
    Holds.boxes: "boxes are those around the keypoints",
    Holds.keys: "no frame is marked as a key frame",
    Holds.empty: "frames without people are not listed",
    Holds.facts: "size, source and pipeline are not known",
}


def convert_job(options: ConvertOptions) -> None:
    """Writes the poses of a file as files of other kinds."""
    source = source_named(options.poses)
    if source is None or source.kind.read is None:
        raise InputError(f"{shown(options.poses)} is no file of poses that can be read back", f"known are {READ}")
    outputs = [_output(text, source.stem) for text in options.out]
    check_stdout(outputs, json=False)
    written = [path for output in outputs for path in output.files]
    check_outputs(written, source.files, options.overwrite)
    source.kind.check()
    results = source.kind.read(source.path)
    for text, output in zip(options.out, outputs, strict=True):
        # As for `run`: the folder of what was typed in full must be there.
        if NAME in text or output_named(text) is None:
            make_parent(output.path)
    _write(replace(results, header=replace(results.header, stride=_stride(results))), outputs)
    console = message_console(options.quiet)
    for note in notes(source, results, outputs):
        console.print(note, soft_wrap=True)


def _stride(results: Results) -> int:
    """By how much the numbers of the frames differ: as the file states, and less where its numbers do not lie so."""
    stated = results.header.stride
    apart = gcd(*np.diff([frame.frame_index for frame in results.frames]).tolist())
    if stated > 1:
        return gcd(stated, apart)
    # Where all frames are listed, what lies between them was never read; without facts that is the best guess.
    return (apart or 1) if results.whole or _has_no_facts(results) else 1


def _has_no_facts(results: Results) -> bool:
    return results.header == ResultHeader()


def _write(results: Results, outputs: Iterable[Output]) -> None:
    """Writes all outputs; what is not whole when there is an error goes away, as nobody could tell."""
    with ExitStack() as stack:
        sinks = []
        for output in outputs:
            sinks.append(output.open(results.skeleton, results.header))
            stack.callback(sinks[-1].abandon)
        for frame in results.frames:
            for sink in sinks:
                sink.write(frame)
        for sink in sinks:
            sink.complete()
        # No earlier result is replaced before all are whole.
        for sink in sinks:
            sink.close()


def _output(text: str, name: str) -> Output:
    """The output that a word means, with the name of the poses where it has a place for it; in a folder a table."""
    output = output_named(text)
    if output is None and (text.endswith(("/", os.sep)) or Path(text).is_dir()):
        output = Output(CSV, Path(text) / f"{NAME}{CSV.end}")
    if output is None:
        raise UsageError(f"{shown(text)} names no kind of poses that is known", f"use one of {WRITTEN}")
    output.kind.check()
    return replace(output, path=Path(str(output.path).replace(NAME, name)))


def notes(source: Output, results: Results, outputs: Iterable[Output]) -> list[str]:
    """What the outputs cannot hold of what was read, and what was written in place of what was not there."""
    known = source.kind.holds - ({Holds.facts} if _has_no_facts(results) else set())
    known -= set() if results.whole else {Holds.empty}
    known -= set() if results.header.pictures else {Holds.pictures}
    found = []
    for output in outputs:
        lost = _lost_keypoints(results.keypoints, output.kind)
        lost += [what.value for what in Holds if what in known - output.kind.holds]
        if lost:
            found.append(f"{shown(output.path)} does not hold {_listed(lost)}.")
        instead = {**INSTEAD, Holds.empty: _rows(_stride(results))} if output.kind.filled else INSTEAD
        made = [instead[what] for what in instead if what in output.kind.holds - known]
        if made:
            found.append(f"{shown(output.path)}: {_listed(made)}, as {shown(source.path)} does not say.")
    return found


def _lost_keypoints(names: tuple[str, ...], kind: Kind) -> list[str]:
    """What of the keypoints `names` a kind has no places for, in a word or two."""
    left_out = kind.left_out(names)
    if len(left_out) in (0, len(names)):
        return ["keypoints"] if left_out else []
    return [f"all keypoints (not {shorten(shown(', '.join(left_out)), LONGEST, placeholder=' …')})"]


def _rows(stride: int) -> str:
    """Which frames are listed by a kind that has a row for each."""
    which = "all frames" if stride == 1 else f"frames {stride} apart"
    return f"{which} from the first with people to the last are listed"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
