"""What a run lost, left out or spent, and why; hints name the options that help and were not typed already."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vipnas_cli.api import WHOLE
from vipnas_cli.cli.console import plural
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.sinks import shows_pictures
from vipnas_cli.inference.bounds import MAX_PEOPLE
from vipnas_cli.inference.choosing import parse_person
from vipnas_cli.inference.pipeline import RunStatistics
from vipnas_cli.inference.tracker import Tracker, TrackerOptions
from vipnas_cli.latency.choice import Choice
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.spec import Budget

LISTED_PEOPLE = 6
# Sizes of the detector's picture that are worth a try, one after the other.
LARGER_PICTURES = (640, 1280)
OUTSIDE = "--blur-faces: nobody is followed outside --roi, faces there stay visible; leave --roi out to blur them, too"
FOLLOW_ALL = "--person with an id, or none, follows all up to --max-people"


def visible_faces(options: RunOptions) -> Iterator[str]:
    """Whose faces stay visible though faces are to be blurred, as far as that is known before a run."""
    if not blurs(options):
        return
    if options.roi is not None:
        yield OUTSIDE
    person = None if options.person is None else parse_person(options.person)
    most = TrackerOptions(options.max_people, person).most_followed
    if most < options.max_people:
        whom, takes = f"--person {options.person} follows {most - 1} others at most", FOLLOW_ALL
    elif most < MAX_PEOPLE:
        whom, takes = f"--max-people {most} follows no more people", "a larger number blurs them, too"
    else:
        return
    yield f"--blur-faces: {whom}, faces of those left out stay visible; {takes}"


def blurs(options: RunOptions) -> bool:
    """Whether pictures are written in which faces are to be unrecognisable."""
    return options.blurred and shows_pictures(options)


@dataclass(frozen=True)
class RunNotes:
    """Sentences about a run, by what was typed and what was counted."""

    options: RunOptions
    info: VideoInfo
    statistics: RunStatistics
    choice: Choice
    tracker: Tracker
    budget: Budget | None

    def __iter__(self) -> Iterator[str]:
        """What was lost or left out, and whose faces can be seen."""
        yield from self._lost()
        yield from self._left_out()
        if blurs(self.options) and self.options.roi is not None:
            yield OUTSIDE

    @property
    def leaves_faces(self) -> bool:
        """Whether boxes were left out in which faces were to be blurred."""
        return blurs(self.options) and self.statistics.most_left_out > 0

    @property
    def nobody(self) -> str:
        """Why nobody is told of, and what helps."""
        identity, others = self.tracker.propagator.options.identity, self.statistics.others
        if identity is not None and others:
            known = ", ".join(map(str, sorted(others)[:LISTED_PEOPLE]))
            return f"Nobody has the id {identity}; there are {known}. Name one of them, or leave --person out."
        if self.options.roi is not None:
            return "Nobody was found in the region. Leave --roi out to see who is where."
        if self.options.boxes is None:
            return "Nobody was found. If one person fills the frame, --boxes whole takes all of it."
        if self.options.boxes == WHOLE:
            return "Nobody was found in the frame as a whole. Leave --boxes whole out to look for smaller people."
        return (
            "Nobody was found: there are no boxes for the key frames, or nothing is seen in them. The first frame that "
            "is read is 0 in .csv and .json, 1 in MOT .txt."
        )

    @property
    def extra_costs(self) -> str:
        """What came on top of the cost of the cycle, with how often; nothing if that is not known."""
        found, length = self.statistics, len(self.choice.pipeline.networks)
        last, early = found.position + 1, found.key_frames - found.reasons["cycle"]
        idle = found.crops.total() - found.people.total() - found.others.total()
        reasons = []
        # With one network every frame costs the same.
        if length > 1 and early:
            reasons.append(plural(early, "early key frame"))
        if last < (self.choice.shortest_cycle or length):
            reasons.append(f"a last cycle that was cut short after {last} of {plural(length, 'frame')}")
        if idle > 0:
            reasons.append(f"{plural(idle, 'crop')} of people who were not believed or not followed")
        return ", ".join(reasons)

    def _lost(self) -> Iterator[str]:
        """Who was lost and when, and what helps."""
        lost = sorted(self.statistics.lost.items())
        if lost:
            who = [f"id {person} at {time_s:.1f} s" for person, time_s in lost]
            more = f" and {len(who) - LISTED_PEOPLE} more" if len(who) > LISTED_PEOPLE else ""
            told = f"lost inside the {'picture' if self.options.roi is None else 'region'}: "
            yield "; ".join(filter(None, (told + ", ".join(who[:LISTED_PEOPLE]) + more, ", ".join(self._helps()))))

    def _helps(self) -> Iterator[str]:
        """What finds and sees people better than this run did."""
        detector, found = self.tracker.detector, self.statistics
        if detector is not None and found.looks < found.key_frames:
            yield "--detect-every 0 looks for people more often"
        if self.budget is not None and self._dearer_is_better():
            yield f"a {'lower' if self.budget.unit == 'fps' else 'larger'} --budget sees them better"
        if detector is not None and detector.letterbox.size is None:
            side = detector.letterbox.side
            larger = next((size for size in LARGER_PICTURES if size > side), None)
            # A detector that sees all pixels has nothing more to find.
            if larger is not None and max(self.info.width, self.info.height) > side:
                yield f"--detector-size {larger} finds smaller ones"

    def _dearer_is_better(self) -> bool:
        """Whether a budget without end buys another pipeline."""
        bundle = self.choice.bundle
        best = bundle.alone_within(math.inf) if self.choice.every_frame else bundle.within(math.inf)
        return best is not None and best.macs_per_person_frame > self.choice.pipeline.macs_per_person_frame

    def _left_out(self) -> Iterator[str]:
        """How many boxes were too many, and what takes them."""
        found, limit, asked = self.statistics, self.tracker.propagator.options, self.options.max_people
        # Whoever asks for one person misses nobody else, but for their faces.
        if not found.most_left_out or (limit.focus.rule != "prominent" and not self.leaves_faces):
            return
        beyond, several = f"--max-people {asked}", found.most_left_out > 1
        takes = f"--max-people {asked + found.most_left_out} takes {'them' if several else 'it'}"
        if limit.max_people < asked:
            beyond, takes = f"the {limit.max_people} people who are followed with --person", FOLLOW_ALL
        yield (
            f"on {plural(found.crowded_frames, 'key frame')} up to {plural(found.most_left_out, 'box', 'es')} beyond "
            f"{beyond} {'were' if several else 'was'} left out{', with faces not blurred' * self.leaves_faces}; {takes}"
        )
