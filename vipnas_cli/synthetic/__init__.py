"""Synthetic people: stills and clips, rendered with exact truth."""

from vipnas_cli.synthetic.clips import ClipOptions, render_clip
from vipnas_cli.synthetic.render import SyntheticFrame
from vipnas_cli.synthetic.stills import render_still

__all__ = ["ClipOptions", "SyntheticFrame", "render_clip", "render_still"]
