"""Synthetic people: stills and clips, rendered with exact truth."""

from vipnas_cli.data.synthetic.clips import ClipOptions, render_clip
from vipnas_cli.data.synthetic.render import SyntheticFrame
from vipnas_cli.data.synthetic.stills import render_still

__all__ = ["ClipOptions", "SyntheticFrame", "render_clip", "render_still"]
