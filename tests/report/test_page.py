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
from vipnas_cli.report.charts import HALF, POINTS, WIDTH, Axis, Curve, clock, line_chart, ticks_of_time
from vipnas_cli.report.page import CURVES, Subject, page_of
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
    assert '<th scope="col">gaps</th>' in page
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


def test_of_somebody_without_any_known_point_no_height_is_told(frames: list[FrameResult]) -> None:
    people = frames[0].people
    unknown = replace(people, points_frame=np.full_like(people.points_frame, np.nan), scores=0 * people.scores)
    page = page_of([Subject("clip", clip_of([replace(frames[0], people=unknown)], COCO17))])
    assert "<td>–</td></tr>" in page
    assert "nan" not in page
    # One frame without any changes nothing.
    both = [frames[0], replace(frames[1], people=unknown)]
    height = np.ptp(people.points_frame[0, :, 1])
    assert f"<td>{height:.0f} px</td>" in page_of([Subject("clip", clip_of(both, COCO17))])


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


def test_somebody_upside_down_stays_so_in_a_long_curve() -> None:
    count = 10 * POINTS
    lean = np.where(np.arange(count) % 2, 179.0, -179.0)
    lean[: count // 2] = np.where(np.arange(count // 2) % 2, 10.0, -4.0)
    lean[-10:] = np.tile([90.0, -90.0], 5)
    chart = line_chart(np.arange(count) / 25, [Curve("lean", lean, "red", circular=True)], AXIS)
    values = numbers_of(chart)["curves"][0][1]
    assert values[:10] == [3.0] * 10
    assert {abs(value) for value in values[POINTS // 2 : -1]} == {180.0}
    # Opposite directions have no mean.
    assert values[-1] is None


@pytest.mark.parametrize(("start", "end"), [(0, 0.04), (0, 12), (3.5, 3.9), (0, 7000), (1e4, 1e4 + 1)])
def test_times_on_the_axis_are_round_and_few(start: float, end: float) -> None:
    ticks = ticks_of_time(start, end)
    assert 2 <= len(ticks) <= 12
    assert all(start - 1e-9 <= tick <= end + 1e-9 for tick in ticks)


def test_clocks() -> None:
    assert [clock(seconds) for seconds in (0.5, 59, 90, 3723)] == ["0.5 s", "59 s", "1:30", "1:02:03"]
    assert [clock(seconds, 1) for seconds in (70.2, 119.96, 3723.5)] == ["1:10.2", "2:00.0", "1:02:03.5"]


@pytest.mark.parametrize(("start", "end"), [(70, 70.8), (59.5, 60.5), (3600, 3600.04), (70, 75), (119, 121), (0, 7000)])
def test_no_two_ticks_of_the_time_axis_say_the_same(start: float, end: float) -> None:
    for width in (HALF, WIDTH):
        chart = line_chart(np.linspace(start, end, 20), [Curve("knee", np.ones(20), "red")], AXIS, width=width)
        labels = re.findall(r'text-anchor="middle">([^<]+)<', chart)
        assert len(labels) >= 2
        assert len(set(labels)) == len(labels)
    chart = line_chart(np.array([70, 70.4]), [Curve("knee", np.ones(2), "red")], AXIS, width=HALF)
    assert re.findall(r'text-anchor="middle">([^<]+)<', chart) == ["1:10.0", "1:10.1", "1:10.2", "1:10.3", "1:10.4"]


def leaning(frames: list[FrameResult], degrees: list[float]) -> list[FrameResult]:
    """Id 4 with a trunk that leans by so much on each frame."""
    found = []
    for number, (frame, angle) in enumerate(zip(frames, degrees, strict=False)):
        people = frames[0].people
        points = people.points_frame.copy()
        points[0, [11, 12]] = 50
        points[0, [5, 6]] = 50 + 30 * np.array([np.sin(np.radians(angle)), -np.cos(np.radians(angle))])
        moved = replace(people, points_frame=points)
        found.append(replace(frame, people=moved, frame_index=number, time_s=number / 25))
    return found


@pytest.mark.parametrize(("degrees", "end"), [([-80, 0, 85, 10], 90), ([-80, 0, 120, 10], 180)])
def test_the_axis_of_the_lean_holds_what_is_drawn(frames: list[FrameResult], degrees: list[float], end: int) -> None:
    page = page_of([Subject("clip", clip_of(leaning(frames, degrees), COCO17))])
    chart = page[page.index('aria-label="trunk lean') :].partition("</svg>")[0]
    assert f">{end}°<" in page
    assert (">180°<" in page.partition('aria-label="trunk lean')[2].partition("</svg>")[0]) == (end == 180)
    path = re.search(r' d="([^"]+)"', chart)
    assert path
    heights = [float(place.split()[1].partition("h")[0]) for place in re.split("[ML]", path[1])[1:]]
    down = [(128 - height) / 120 * 2 * end - end for height in heights]
    assert down == pytest.approx(degrees, abs=0.2)


def test_a_lean_that_goes_round_at_the_back_is_no_line_across() -> None:
    lean = Curve("trunk lean", np.array([170.0, 179, -179, -170]), "red", circular=True)
    chart = line_chart(np.arange(4) / 25, [lean], Axis(-180, 180, (0,)))
    path = re.search(r' d="([^"]+)"', chart)
    assert path
    assert (path[1].count("M"), path[1].count("L")) == (2, 2)


def test_one_frame_has_no_time_axis_but_its_numbers(frames: list[FrameResult]) -> None:
    page = page_of([subject(leaning(frames, [30]))])
    Reader(page)
    assert "<svg" not in page
    assert not re.search(r"0\.0\d* s<", page.replace("<td>0.00 s</td>", ""))
    assert "Who is there" in page
    assert "<td>30°</td>" in page
    assert "trunk<br>lean" in page
    assert "<svg" in page_of([subject(leaning(frames, [30, 31]))])


@pytest.mark.parametrize(
    ("people", "told"), [(CURVES + 1, "1 more person is not shown."), (CURVES + 7, "7 more people are not shown.")]
)
def test_who_is_left_out_need_not_be_there_for_a_shorter_time(
    frames: list[FrameResult], people: int, told: str
) -> None:
    one = frames[0].people
    parts = {name: np.repeat(getattr(one, name), people, axis=0) for name in ("boxes_frame", "points_frame", "scores")}
    crowd = replace(one, ids=np.arange(people), **parts)
    both = [replace(frame, people=crowd) for frame in frames[:2]]
    page = page_of([Subject("clip", clip_of(both, COCO17))])
    assert told in page
    assert "shorter time" not in page


def test_charts_say_what_they_show_and_tables_what_their_columns_are(frames: list[FrameResult]) -> None:
    tags = Reader(page_of([subject(frames)])).tags
    labels = [attributes["aria-label"] for name, attributes in tags if name == "svg"]
    assert len(set(labels)) == len(labels)
    assert "knee of id 4 over time: left knee, right knee" in labels
    assert "mean score of the keypoints over time: id 7, id 4" in labels
    assert "trunk lean of id 4 over time" in labels
    assert all(attributes.get("scope") for name, attributes in tags if name == "th")
    chart = line_chart(np.arange(2.0), [Curve('<"', np.ones(2), "red")] * 2, AXIS)
    assert 'aria-label="curves over time: &lt;&quot;, &lt;&quot;"' in chart
