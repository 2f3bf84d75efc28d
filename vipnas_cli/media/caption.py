"""The bar at the lower edge of pictures: what made the poses, and what the shades mean."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from vipnas_cli.media.drawing import FONT, STRENGTHS, Color, font, shade, text_size
from vipnas_cli.media.frames import Image

# Around the strokes of the legend, so that dark ones are seen.
FRAME: Color = (120, 120, 120)
WHITE: Color = (255, 255, 255)
# The bar darkens what is behind it to this share.
DARKNESS = 0.35
SMALLEST = 0.3
# The shades of the limbs, in the colour of the first person.
LEGEND: tuple[tuple[str, Color], ...] = (
    ("left", shade(0, "left")),
    ("right", shade(0, "right")),
    ("unsure", shade(0, "right", STRENGTHS[0])),
)


@dataclass(frozen=True)
class _Row:
    """Texts in a row, each behind a stroke of its colour if it has one, in pixels."""

    scale: float
    thick: int
    height: int
    below: int

    @property
    def gap(self) -> int:
        return max(2, self.height // 2)

    def width(self, texts: tuple[tuple[str, Color | None], ...]) -> int:
        """What the texts and strokes take, with gaps on both ends."""
        return self.gap + sum(self._text(text) + 2 * self.gap + self._stroke(color) for text, color in texts)

    def _text(self, text: str) -> int:
        return text_size(text, self.scale, self.thick)[0]

    def _stroke(self, color: Color | None) -> int:
        return 0 if color is None else 2 * self.height + self.gap

    def draw(self, image: Image, texts: tuple[tuple[str, Color | None], ...], left: int, bottom: int) -> None:
        """Draws the texts from `left` on; `bottom` is the lower edge of the row."""
        base = bottom - self.gap - self.below
        left += self.gap
        for text, color in texts:
            if color is not None:
                middle = base - self.height // 2
                end = (left + 2 * self.height, middle)
                thick = max(2, self.height // 3)
                cv2.line(image, (left, middle), end, FRAME, thick + 2, cv2.LINE_AA)
                cv2.line(image, (left, middle), end, color, thick, cv2.LINE_AA)
                left += self._stroke(color)
            cv2.putText(image, text, (left, base), FONT, self.scale, WHITE, self.thick, cv2.LINE_AA)
            left += self._text(text) + 2 * self.gap


def draw_caption(image: Image, text: str, legend: bool = False) -> Image:
    """Draws `text` and, with `legend`, what the shades of the limbs mean on a dark bar in the lower left corner.

    Letters shrink until a row fits into the picture; where the smallest do not, the legend and then the end of the text
    are left out.
    """
    told: tuple[tuple[str, Color | None], ...] = ((text, None),)
    meant: tuple[tuple[str, Color | None], ...] = LEGEND if legend else ()
    row = _fitting(image, (told, meant))
    rows = [meant + told] if row.width(meant + told) <= image.shape[1] else [told, meant]
    bottom = image.shape[0]
    for texts in rows:
        if not texts or (texts == meant and row.width(meant) > image.shape[1]):
            continue
        high = row.height + row.below + 2 * row.gap
        band = image[max(0, bottom - high) : bottom, : row.width(texts)]
        band[:] = band * DARKNESS
        row.draw(image, texts, 0, bottom)
        bottom -= high
    return image


def _fitting(image: Image, rows: tuple[tuple[tuple[str, Color | None], ...], ...]) -> _Row:
    """The largest letters, up to those that suit the picture, with which each of the rows fits."""
    scale, thick = font(image)
    while True:
        _, height, below = text_size("key", scale, thick)
        row = _Row(scale, thick, height, below)
        if scale <= SMALLEST or all(row.width(texts) <= image.shape[1] for texts in rows):
            return row
        scale = max(SMALLEST, 0.9 * scale)
