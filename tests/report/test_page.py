"""Laws of the page: it needs nothing else, says what it is told, takes any name, and its curves hold the numbers."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import SURE
from vipnas_cli.pose.skeletons import COCO17
from vipnas_cli.report.charts import POINTS, Axis, Curve, clock, line_chart, ticks_of_time
from vipnas_cli.report.page import Subject, page_of
from vipnas_cli.report.posters import poster_of
from vipnas_cli.report.run_facts import RunFacts
from vipnas_cli.report.tracks import clip_of

VOID = {"meta", "img", "br", "line", "path"}
AXIS = Axis(0, 10, (0, 5, 10))


class Reader(HTMLParser):
    """Collects elements, and complains about ones that are left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def subject(frames: list[FrameResult], name: str = "clip.mp4") -> Subject:
    summary = {"fps": 12.5, "busy_s": {"decode": 1.5}, "wall_s": 2, "command": ["vipnas", "a b"]}
    facts = RunFacts.of({**summary, "notes": ["<b>no sound</b>"]})
    poster = poster_of(0.5, np.full((900, 1600, 3), 90, np.uint8))
    return Subject(name, clip_of(frames, COCO17), (poster,), facts.figures, facts.settings, facts.stages, facts.wall_s)


def test_the_page_is_well_formed_and_loads_nothing(frames: list[FrameResult]) -> None:
    page = page_of([subject(frames), subject(frames, "other.mp4")])
    tags = Reader(page).tags
    addresses = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert {address.partition(",")[0] for address in addresses if address} == {
        "data:image/jpeg;base64",
        "#clip0",
        "#clip1",
    }
    assert not re.search(r"https?:|url\(|@import|\.woff", page)
    assert "default-src 'none'" in page
    for fact in ("id 7", "id 4", "12.5", "decode", "left knee", "trunk lean", "Steadiness", "vipnas &#x27;a b&#x27;"):
        assert fact in page


def test_it_says_from_which_score_on_angles_are_told(frames: list[FrameResult]) -> None:
    assert f"blank where a keypoint scores below {SURE:g}." in page_of([subject(frames)])


def test_steadiness_is_told_as_steps_of_a_hundred(frames: list[FrameResult]) -> None:
    page = page_of([subject(frames)])
    assert "steps with a jump, of 100" in page
    assert "at least one keypoint moves by more than a tenth" in page
    assert "jumps per 100" not in page


def test_rate_and_length_are_those_of_the_mean_step_and_gaps_are_counted(frames: list[FrameResult]) -> None:
    times = [0, 0.1, 0.2, 0.3, 0.4, 1.0]
    uneven = [replace(each, time_s=time_s) for each, time_s in zip(frames, times, strict=True)]
    page = page_of([subject(uneven)])
    assert "<b>5</b><span>frames per second</span>" in page
    assert "<b>1.2 s</b><span>long</span>" in page
    # Each is away once and comes back; whether anybody is lost at the end, the note of the run says.
    assert "<th>gaps</th>" in page
    assert page.count("<td>1</td><td>0.90</td>") == 2
    assert "lost" not in page


def test_of_a_clip_of_one_frame_rate_and_length_are_not_known(frames: list[FrameResult]) -> None:
    page = page_of([subject(frames[:1])])
    assert "<b>1</b><span>frame</span>" in page
    assert "<b>–</b><span>frames per second</span>" in page
    assert "<b>–</b><span>long</span>" in page
    page = page_of([subject(frames[:2])])
    assert "<b>2</b><span>frames</span>" in page
    assert "<b>0.08 s</b><span>long</span>" in page


def test_names_and_notes_are_text(frames: list[FrameResult]) -> None:
    page = page_of([subject(frames, '</script><img src="https://x.invalid" onerror=alert(1)>&.mp4')])
    Reader(page)
    assert "x.invalid&quot; onerror" in page
    assert '<img src="http' not in page
    assert "<b>no sound" not in page


def test_a_clip_without_people_and_one_without_frames_are_told(frames: list[FrameResult]) -> None:
    nobody = Subject("empty", clip_of([frames[3]], COCO17))
    assert "Nobody was found" in page_of([nobody])
    Reader(page_of([Subject("nothing", clip_of([], COCO17))]))


def test_a_poster_is_small() -> None:
    poster = poster_of(1.0, np.zeros((2160, 3840, 3), np.uint8))
    assert base64.b64decode(poster.url.partition(",")[2]) == poster.jpeg
    assert not poster.portrait
    assert len(poster.jpeg) < 10_000


def numbers_of(chart: str) -> dict:
    found = re.search(r"<script type=\"application/json\">(.*?)</script>", chart)
    assert found
    return json.loads(found[1])


def test_a_chart_holds_its_numbers_and_breaks_where_there_are_none() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0, np.nan, 6.0, 7.0])
    chart = line_chart(np.arange(7) / 10, [Curve("knee", values, "red")], AXIS)
    data = numbers_of(chart)
    assert data["t"] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert data["curves"] == [["knee", [1, 2, None, 4, None, 6, 7]]]
    path = re.search(r' d="([^"]+)"', chart)
    assert path
    assert path[1].count("M") == 3
    assert path[1].count("L") == 2


def test_a_pause_breaks_a_curve() -> None:
    chart = line_chart(np.array([0, 1, 2, 9, 10.0]), [Curve("knee", np.ones(5), "red")], AXIS)
    path = re.search(r' d="([^"]+)"', chart)
    assert path
    assert path[1].count("M") == 2


def test_long_curves_are_means_of_what_they_hold() -> None:
    times = np.arange(10 * POINTS + 3) / 25
    data = numbers_of(line_chart(times, [Curve("knee", np.where(times < 100, np.nan, 5), "red")], AXIS))
    assert len(data["t"]) <= POINTS
    values = data["curves"][0][1]
    assert set(values) == {None, 5}
    assert data["t"][values.index(5)] == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize(("start", "end"), [(0, 0.04), (0, 12), (3.5, 3.9), (0, 7000), (1e4, 1e4 + 1)])
def test_times_on_the_axis_are_round_and_few(start: float, end: float) -> None:
    ticks = ticks_of_time(start, end)
    assert 2 <= len(ticks) <= 12
    assert all(start - 1e-9 <= tick <= end + 1e-9 for tick in ticks)


def test_clocks() -> None:
    assert [clock(seconds) for seconds in (0.5, 59, 90, 3723)] == ["0.5 s", "59 s", "1:30", "1:02:03"]
