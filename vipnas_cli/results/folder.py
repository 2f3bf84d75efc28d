"""Results that are folders of files."""

from __future__ import annotations

import re
from pathlib import Path

from vipnas_cli.errors import OutputError
from vipnas_cli.files import shown
from vipnas_cli.folders import PartialFolder
from vipnas_cli.results.sink import STDOUT, ResultFile


class FolderFile(ResultFile):
    """A folder whose files end in `ending`, named after the folder without its suffix and a frame or person."""

    def __init__(self, path: Path | str, ending: str) -> None:
        super().__init__(path)
        if self.path == STDOUT:
            raise OutputError("a folder cannot go to stdout", "name it")
        self._stem = shown(self.path.stem)
        names = rf"{re.escape(self._stem)}_(\d{{12,}}|person-?\d+){re.escape(ending)}"
        self._folder = PartialFolder(self.path, re.compile(names))

    def _complete(self, keep: bool) -> None:
        pass

    def _keep(self) -> None:
        self._folder.keep()

    def _discard(self) -> None:
        self._folder.discard()
