"""The options of `vipnas run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vipnas_cli.cli.run.inputs import InputOptions
from vipnas_cli.cli.run.model import ModelOptions
from vipnas_cli.cli.run.outputs import OutputOptions
from vipnas_cli.cli.run.people import PeopleOptions
from vipnas_cli.cli.run.picture import PictureOptions
from vipnas_cli.cli.run.telling import TellingOptions


@dataclass(frozen=True)
class RunOptions(TellingOptions, PictureOptions, OutputOptions, PeopleOptions, ModelOptions, InputOptions):
    """What to run, and where results go."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The results of one input, as they are told."""
        return tuple(path for path, *_ in self._written())

    @property
    def files(self) -> tuple[Path, ...]:
        """All files and folders that are written for one input, those beside the results too; none for stdout."""
        return tuple(path for paths in self._written() for path in paths if path != Path("-"))

    def _written(self) -> list[tuple[Path, ...]]:
        """What is written for each output, the result itself first."""
        from vipnas_cli.results.kinds import output_named

        named = [(text, output_named(text)) for text in self.out]
        return [(output.path, *output.files[1:]) if output else (Path(text),) for text, output in named]

    @property
    def pictures(self) -> bool:
        """Whether a video or a picture is written."""
        from vipnas_cli.media.picture_writer import STILLS
        from vipnas_cli.media.writer import CONTAINERS

        return any(path.suffix.lower() in {*CONTAINERS, *STILLS} for path in self.outputs)

    @property
    def smooth_numbers(self) -> str:
        """The smoothing of the numbers."""
        return "off" if self.smooth == "auto" else self.smooth

    @property
    def smooth_pictures(self) -> str:
        """The smoothing of the pictures."""
        return "low" if self.smooth == "auto" else self.smooth
