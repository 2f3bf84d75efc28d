"""The page: one HTML file with its styles, pictures and numbers inside; it loads nothing and works without a script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

import numpy as np

from vipnas_cli import __version__
from vipnas_cli.media.drawing import id_color
from vipnas_cli.pose.angles import TRUNK_LEAN, JointAngle, angles_of
from vipnas_cli.pose.people import SURE
from vipnas_cli.report.charts import HALF, Axis, Curve, clock, line_chart, time_line
from vipnas_cli.report.posters import Poster
from vipnas_cli.report.tracks import Clip, Floats, Track, steadiness

# People whose rows, curves and columns are shown; those who are there longest come first.
ROWS, CURVES = 40, 8
DEGREES = Axis(0, 180, (0, 45, 90, 135, 180), "°")
LEAN, ROUND = Axis(-90, 90, (-90, -45, 0, 45, 90), "°"), Axis(-180, 180, (-180, -90, 0, 90, 180), "°")
SHARE = Axis(0, 1, (0, 0.25, 0.5, 0.75, 1))
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
NO_ANKLES = " Those of the ankles are not defined: there are no keypoints on the toes."
STEADY = (
    "Measured without labels: a step is a person in two frames that follow each other. It has a jump where at least "
    "one keypoint moves by more than a tenth of the person's height; fast motion counts, too. The acceleration is the "
    "median."
)
ANGLES = f"Angles lie in the picture plane; they are blank where a keypoint scores below {SURE:g}. 180° is straight."


@dataclass(frozen=True)
class Subject:
    """What a page tells of one clip.

    `facts` and `settings` are names with values; `stages` are the busy seconds of each stage of the run, which took
    `wall_s`. `note` says what could not be shown and why.
    """

    name: str
    clip: Clip
    posters: tuple[Poster, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    note: str = ""


def page_of(subjects: Sequence[Subject]) -> str:
    """The page about some clips as text."""
    title = subjects[0].name if len(subjects) == 1 else f"{len(subjects)} clips"
    people = sorted({track.person for subject in subjects for track in subject.clip.tracks})
    links = "".join(f'<a href="#clip{n}">{escape(subject.name)}</a>' for n, subject in enumerate(subjects))
    body = "".join(f'<section id="clip{n}">{_section(subject)}</section>' for n, subject in enumerate(subjects))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: poses</title><style>{_asset('page.css')}{_person_colors(people)}</style></head>"
        f"<body><main>{f'<nav>{links}</nav>' if len(subjects) > 1 else ''}{body}"
        f'<p class="soft">Made by vipnas {escape(__version__)}.</p></main>'
        f"<script>{_asset('page.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return (files("vipnas_cli.report") / name).read_text(encoding="utf-8")


def _person_colors(people: Sequence[int]) -> str:
    """Each person's colour as in the pictures on dark ground, and a darker one that is readable on white."""
    bright = "".join(f"--p{person}:rgb{id_color(person)};" for person in people)
    dark = "".join(f"--p{person}:rgb{_on_white(id_color(person))};" for person in people)
    light_print = f"@media print{{:root{{{dark}}}}}"
    return f":root{{{dark}}}@media (prefers-color-scheme: dark){{:root{{{bright}}}}}{light_print}"


def _on_white(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """A darker tone of it, dark enough to be seen on white."""
    luminance = (0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]) / 255
    share = min(1.0, 0.45 / max(luminance, 1e-6))
    red, green, blue = (round(share * part) for part in color)
    return red, green, blue


def _section(subject: Subject) -> str:
    clip = subject.clip
    parts = [f"<h1>{escape(subject.name)}</h1>", _cards(subject)]
    if subject.note:
        parts.append(f'<p class="soft">{escape(subject.note)}</p>')
    parts.append(_posters(subject.posters))
    if len(clip.times):
        parts += [_who(clip), *(_angles(clip)), _confidence(clip), _steadiness(clip)]
    parts += [_stages(subject), _settings(subject)]
    return "".join(parts)


def _cards(subject: Subject) -> str:
    clip = subject.clip
    there = clip.people_per_frame
    cards = [
        (str(len(clip.times)), "frame" if len(clip.times) == 1 else "frames"),
        (_length(clip), "long"),
        (f"{1 / clip.step_s:.3g}" if clip.step_s else "–", "frames per second"),
        (str(len(clip.tracks)), "person" if len(clip.tracks) == 1 else "people"),
        (f"{there.max(initial=0)}", "at most at once"),
        *((value, name) for name, value in subject.facts),
    ]
    return (
        '<div class="cards">'
        + "".join(f"<div><b>{escape(b)}</b><span>{escape(s)}</span></div>" for b, s in cards)
        + "</div>"
    )


def _length(clip: Clip) -> str:
    """How long a clip is with its last frame, whose length one frame alone does not tell."""
    if not len(clip.times):
        return "0 s"
    return clock(round(float(clip.times[-1] - clip.times[0]) + clip.step_s, 2)) if clip.step_s else "–"


def _posters(posters: Sequence[Poster]) -> str:
    if not posters:
        return ""
    portrait = all(poster.portrait for poster in posters)
    figures = "".join(
        f'<figure><img src="{poster.url}" alt="Frame at {poster.time_s:.2f} s">'
        f"<figcaption>{poster.time_s:.2f} s</figcaption></figure>"
        for poster in posters
    )
    return f'<div class="posters{" portrait" if portrait else ""}">{figures}</div>'


def _who(clip: Clip) -> str:
    """Who is there when, and how well each is seen."""
    if not clip.tracks:
        return "<h2>Who is where in time</h2><p>Nobody was found.</p>"
    shown = clip.tracks[:ROWS]
    ends = [*clip.times[1:].tolist(), float(clip.times[-1]) + clip.step_s]
    rows = [
        (
            f"id {track.person}",
            f"var(--p{track.person})",
            [(float(clip.times[first]), ends[last]) for first, last in track.spans],
        )
        for track in sorted(shown, key=lambda track: track.person)
    ]
    title = "Who is where in time"
    line = time_line(rows, float(clip.times[0]), ends[-1])
    if len(clip.times) == 1:  # which is no stretch of time
        title, line = "Who is there", ""
    return f"<h2>{title}</h2>{_left_out(clip, ROWS)}{line}{_people_table(clip, shown)}"


def _left_out(clip: Clip, limit: int) -> str:
    more = len(clip.tracks) - limit
    if more <= 0:
        return ""
    people = "1 more person is" if more == 1 else f"{more} more people are"
    return f'<p class="soft">{people} not shown.</p>'


def _people_table(clip: Clip, tracks: Sequence[Track]) -> str:
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("person", "frames", "of all", "from", "to", "gaps", "score", "height")
    )
    rows = []
    for track in tracks:
        height = _height(track)
        cells = (
            str(len(track.rows)),
            f"{100 * len(track.rows) / len(clip.times):.0f} %",
            f"{clip.times[track.rows[0]]:.2f} s",
            f"{clip.times[track.rows[-1]]:.2f} s",
            str(len(track.spans) - 1),
            f"{track.scores.mean():.2f}",
            "–" if math.isnan(height) else f"{height:.0f} px",
        )
        rows.append(f"<tr>{_name_cell(track)}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _name_cell(track: Track) -> str:
    return f'<td><i class="dot" style="background:var(--p{track.person})"></i> id {track.person}</td>'


def _height(track: Track) -> float:
    """The median of how much of the picture's height the pose takes, in pixels; nan without any known point."""
    y = track.points[..., 1]
    known = y[np.isfinite(y).any(axis=1)]
    return float(np.median(np.nanmax(known, axis=1) - np.nanmin(known, axis=1))) if len(known) else math.nan


def _angles(clip: Clip) -> list[str]:
    """A block of curves for each person."""
    defined = angles_of(clip.skeleton)
    if not defined or not clip.tracks:
        return []
    missing = "" if any(angle.name == "ankle" for angle in defined) else NO_ANKLES
    parts = [f'<h2>Joint angles</h2><p class="soft">{ANGLES}{missing}</p>{_left_out(clip, CURVES)}']
    if len(clip.times) == 1:
        return [*parts, _angle_table(clip, defined)]
    for track in clip.tracks[:CURVES]:
        curves, color = track.over(len(clip.times), track.angles(clip.skeleton)), f"var(--p{track.person})"
        charts = []
        for name in dict.fromkeys(angle.name for angle in defined):
            of_name = [
                Curve(angle.title, curves[:, column], color, angle.side == "left", name == TRUNK_LEAN)
                for column, angle in enumerate(defined)
                if angle.name == name
            ]
            if any(np.isfinite(curve.values).any() for curve in of_name):
                about = f"{name.replace('_', ' ')} of id {track.person}"
                charts.append(line_chart(clip.times, of_name, _axis_of(of_name), about, HALF))
        dot = f'<i class="dot" style="background:var(--p{track.person})"></i>'
        blocks = "".join(charts) or '<p class="soft">No angle is sure on any frame.</p>'
        parts.append(f'<h3>{dot} id {track.person}</h3><div class="two">{blocks}</div>')
    return parts


def _axis_of(curves: Sequence[Curve]) -> Axis:
    """The axis of angles; somebody who lies down or stands on the hands leans by more than a right angle."""
    if not curves[0].circular:
        return DEGREES
    return LEAN if all(np.nanmax(np.abs(curve.values)) <= LEAN.high for curve in curves) else ROUND


def _angle_table(clip: Clip, defined: Sequence[JointAngle]) -> str:
    """The angles of a clip of one frame."""
    head = "".join(f'<th scope="col">{escape(angle.title).replace(" ", "<br>")}</th>' for angle in defined)
    rows = ""
    for track in clip.tracks[:CURVES]:
        cells = (f"{angle:.0f}°" if math.isfinite(angle) else "–" for angle in track.angles(clip.skeleton)[0].tolist())
        rows += f"<tr>{_name_cell(track)}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return f'<div class="wide"><table class="dense"><tr><th scope="col">person</th>{head}</tr>{rows}</table></div>'


def _confidence(clip: Clip) -> str:
    if not clip.tracks:
        return ""
    tracks = clip.tracks[:CURVES]
    curves = [
        Curve(
            f"id {track.person}",
            track.over(len(clip.times), track.scores.mean(axis=1)),
            f"var(--p{track.person})",
        )
        for track in tracks
    ]
    chart = line_chart(clip.times, curves, SHARE, "mean score of the keypoints") if len(clip.times) > 1 else ""
    told = "The mean score of the keypoints; about the probability that they are where they are drawn."
    head = "".join(f'<th scope="col">{escape(name).replace("_", "<br>")}</th>' for name in clip.skeleton.keypoints)
    rows = "".join(f"<tr>{_name_cell(track)}{_cells(track.scores.mean(axis=0))}</tr>" for track in tracks)
    table = f'<div class="wide"><table class="dense"><tr><th scope="col">mean</th>{head}</tr>{rows}</table></div>'
    return f'<h2>Confidence</h2><p class="soft">{told}</p>{_left_out(clip, CURVES)}{chart}{table}'


def _cells(means: Floats) -> str:
    """Mean scores (K,) on a ground that is the redder the lower they are."""
    return "".join(
        f'<td style="background:rgb(200 60 40 / {max(0.0, 0.7 * (0.8 - mean)):.2f})">{mean:.2f}</td>'
        for mean in means.tolist()
    )


def _steadiness(clip: Clip) -> str:
    """How steady everyone is, and all together."""
    if not clip.tracks:
        return ""
    found = [("<td>all</td>", steadiness(clip.tracks, clip.skeleton))]
    found += [(_name_cell(track), steadiness([track], clip.skeleton)) for track in clip.tracks[:CURVES]]
    rows = ""
    for name, measured in found:
        figures = (measured.jumps_per_100, measured.exchanges_per_100, measured.acceleration)
        cells = "".join(f"<td>{'–' if math.isnan(figure) else f'{figure:.1f}'}</td>" for figure in figures)
        rows += f"<tr>{name}<td>{measured.steps}</td>{cells}</tr>"
    counts = ("steps with a jump, of 100", "steps that exchange left and right, of 100")
    names = ("person", "steps", *counts, "acceleration, % of height")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    table = f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'
    return f'<h2>Steadiness</h2><p class="soft">{STEADY}</p>{table}'


def _stages(subject: Subject) -> str:
    if not subject.stages:
        return ""
    longest = max(*subject.stages.values(), subject.wall_s, 1e-9)
    bars = "".join(
        f'<span>{escape(stage)}</span><i style="width:{100 * seconds / longest:.1f}%"></i><span>{seconds:.1f} s</span>'
        for stage, seconds in (*subject.stages.items(), ("the whole run", subject.wall_s))
    )
    return f'<h2>Where the time went</h2><p class="soft">Stages work side by side.</p><div class="bars">{bars}</div>'


def _settings(subject: Subject) -> str:
    if not subject.settings:
        return ""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="text">{escape(value)}</td></tr>' for name, value in subject.settings
    )
    return f"<h2>Settings</h2><table>{rows}</table>"
