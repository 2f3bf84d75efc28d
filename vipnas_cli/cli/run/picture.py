"""Options of `vipnas run` that say how the poses are shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vipnas_cli.media.painter import PictureStyle


class BackgroundChoice(StrEnum):
    """What is behind the poses; beside: the picture on the left, the poses on black on the right."""

    picture = "picture"
    black = "black"
    beside = "beside"


@dataclass(frozen=True)
class PictureOptions:
    """What a video of a run looks like."""

    background: Annotated[
        BackgroundChoice,
        typer.Option(
            help="What is behind the poses; beside: the picture on the left, the poses on black on the right.",
            rich_help_panel="Picture",
        ),
    ] = BackgroundChoice.picture
    blur_faces: Annotated[
        bool,
        typer.Option(
            "--blur-faces",
            help="Make the faces of all people who are found unrecognisable, as long as they are followed. Nobody is "
            "followed outside --roi or beyond --max-people: faces there stay visible, and a note says so.",
            rich_help_panel="Picture",
        ),
    ] = False
    trails_s: Annotated[
        float,
        typer.Option(
            "--trails",
            min=0,
            max=600,
            metavar="SECONDS",
            help="Draw where everyone was for so long: the middle of the hips, or what --trail-of says.",
            show_default=False,
            rich_help_panel="Picture",
        ),
    ] = 0.0
    trail_of: Annotated[
        tuple[str, ...],
        typer.Option(
            "--trail-of",
            metavar="KEYPOINT",
            help="A keypoint that leaves a trail, such as left_ankle; several allowed.",
            rich_help_panel="Picture",
        ),
    ] = ()
    bar: Annotated[
        bool,
        typer.Option(
            "--bar/--no-bar", help="The line with pipeline and legend at the lower edge.", rich_help_panel="Picture"
        ),
    ] = True

    @property
    def typed(self) -> tuple[str, ...]:
        """Those of the options that change pictures."""
        changed = {
            "--background": self.background is not BackgroundChoice.picture,
            "--blur-faces": self.blur_faces,
            "--trails": bool(self.trails_s),
        }
        return tuple(name for name, is_changed in changed.items() if is_changed)

    @property
    def blurred(self) -> bool:
        """Whether faces in the pictures are to be unrecognisable; on black there are none."""
        return self.blur_faces and self.background is not BackgroundChoice.black

    @property
    def picture_style(self) -> PictureStyle:
        """How the painter is to work; UsageError for a trail without a length."""
        from vipnas_cli.errors import UsageError
        from vipnas_cli.media.painter import Background, PictureStyle

        if self.trail_of and not self.trails_s:
            raise UsageError("--trail-of draws nothing without --trails", "add --trails 1 for one second")
        return PictureStyle(Background(self.background), self.blur_faces, self.trails_s, self.trail_of, self.bar)
