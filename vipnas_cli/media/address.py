"""Where pictures come from, as people type it: a path, or the address of a camera or a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown

STDIN = "-"
# On Windows nothing has this name.
STDIN_PATH = Path("/dev/stdin")
# Those of the second kind may be files, which end, or streams.
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp"})
FILE_SCHEMES = frozenset({"http", "https"})
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# Some cameras have them in the path.
_SECRET = re.compile(r"(?i)(user(?:name)?|pass(?:word|wd)?|pwd|token|key|secret)=[^&/;]*")
_CAMERA = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True)
class Stream:
    """A camera by its number, or a stream by its URL, which stays as it was typed.

    Its text, and whatever is made of it, has neither user and password nor the query of the URL, which may hold keys.
    """

    address: str = field(repr=False)

    @property
    def camera(self) -> bool:
        """Whether it is a camera of this machine."""
        return _CAMERA.fullmatch(self.address) is not None

    @property
    def live(self) -> bool:
        """Whether pictures come in their own time and are gone if nobody takes them."""
        return self.camera or self.scheme in LIVE_SCHEMES

    @property
    def scheme(self) -> str:
        """How it is reached, in small letters; nothing for a camera."""
        found = _URL.match(self.address)
        return found[1].lower() if found else ""

    @property
    def name(self) -> str:
        """What results say that they come from."""
        return str(self)

    @property
    def stem(self) -> str:
        """What results are named after: the last part of the path, else the machine."""
        if self.camera:
            return f"camera{self.address}"
        bare, _, _ = self._bare.partition("?")
        machine, _, path = bare.partition("/")
        name = "" if _SECRET.search(path) else Path(unquote(path)).stem
        return re.sub(r"[^\w.-]+", "_", name or machine) or "stream"

    @property
    def _bare(self) -> str:
        """Machine, path and a mark for a query; an unquoted @ in a password must not show the rest of it."""
        rest, query, _ = self.address.partition("://")[2].rpartition("@")[2].partition("?")
        return _SECRET.sub(r"\1=…", rest) + (query and "?…")

    def __str__(self) -> str:
        return f"camera {self.address}" if self.camera else shown(f"{self.scheme}://{self._bare}")


def hidden(word: str) -> str:
    """A word of a command line without the credentials that the address of a stream may hold."""
    before, equals, after = word.partition("=") if word.startswith("--") else ("", "", word)
    return before + equals + (str(Stream(after)) if _URL.match(after) else after)


Origin: TypeAlias = Path | Stream


def origin_of(text: Path | Stream | str) -> Origin:
    """What a word stands for: `-` is stdin, a number a camera unless a file has that name, a URL a stream.

    UsageError for a URL that is not read, and for no word at all, which a path takes for this folder.
    """
    if not isinstance(text, str):
        return text
    if not text:
        raise UsageError("the name of the input is empty", "name a video, a picture, a folder or a stream")
    if text == STDIN:
        return STDIN_PATH
    found = _URL.match(text)
    if found is None:
        return Stream(text) if _CAMERA.fullmatch(text) and not Path(text).exists() else Path(text)
    scheme = found[1].lower()
    if scheme not in {"file"} | LIVE_SCHEMES | FILE_SCHEMES:
        known = ", ".join(sorted(LIVE_SCHEMES | FILE_SCHEMES))
        raise UsageError(f"{scheme}:// is no kind of stream that is read", f"use a file or one of {known}")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError(f"this {scheme} address cannot be understood", "check its brackets") from None
    return _file(parts) if scheme == "file" else Stream(text)


def _file(parts: SplitResult) -> Path:
    from urllib.request import url2pathname  # which takes as long to load as all the rest

    if parts.hostname not in (None, "localhost"):
        what = f"the file is said to be on {shown(parts.hostname)}, and file:// is read on this machine alone"
        raise UsageError(what, "write the path that it has here")
    return Path(url2pathname(parts.path))
