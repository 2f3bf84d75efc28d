"""Opening cameras and streams, with bounded waits and without a word of their credentials."""

from __future__ import annotations

import platform

import av
from av.container import InputContainer

from vipnas_cli.errors import VideoError
from vipnas_cli.media.address import Stream

# Seconds to wait for an answer, and between two packets.
OPEN_S, READ_S = 10.0, 10.0
# How FFmpeg reaches cameras on each system, and how it names the n-th.
_CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}")}
_OPTIONS = {
    # Over UDP packets get lost without a word.
    "rtsp": {"rtsp_transport": "tcp"},
    "rtsps": {"rtsp_transport": "tcp"},
    # A file whose connection breaks is gone on with where it broke.
    "http": {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "4"},
    "https": {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "4"},
}

# What cameras are asked for first: FFmpeg's own default for macOS, 29.97, is none that they have.
_CAMERA_OPTIONS = {"avfoundation": {"framerate": "30"}}


class Connection:
    """A stream that is read once, as a pipe is; `interrupted` says that nobody wants more of it."""

    timed_out = False

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.interrupted = False

    def open(self) -> InputContainer:
        """The demuxer; VideoError if there is no answer, or nothing that can be read."""
        kind, address = camera(self.stream) if self.stream.camera else ("", self.stream.address)
        options = _CAMERA_OPTIONS.get(kind, _OPTIONS.get(self.stream.scheme, {}))
        try:
            return _opened(address, kind, options)
        except (av.error.FFmpegError, ValueError, UnicodeError) as error:
            # Not as its cause: what FFmpeg says holds the address with its credentials.
            raise _refused(self.stream, error) from None

    def stop(self) -> None:
        """End it at the next packet."""
        self.interrupted = True

    def close(self) -> None:
        """The demuxer holds everything."""


def camera(stream: Stream) -> tuple[str, str]:
    """FFmpeg's format and name of a camera; VideoError on systems where cameras have no numbers."""
    system = platform.system()
    if system not in _CAMERAS:
        raise VideoError(
            f"{stream} cannot be read on {system}", "Pipe it in: ffmpeg -f dshow … -f nut - | vipnas run -"
        )
    kind, name = _CAMERAS[system]
    return kind, name.format(stream.address)


def _opened(address: str, kind: str, options: dict[str, str]) -> InputContainer:
    """The demuxer, without the options where a camera refuses them."""
    try:
        return av.open(address, "r", kind or None, dict(options), timeout=(OPEN_S, READ_S), metadata_errors="replace")
    except av.error.FFmpegError:
        if kind not in _CAMERA_OPTIONS or not options:
            raise
    return _opened(address, kind, {})


def _refused(stream: Stream, error: Exception) -> VideoError:
    if isinstance(error, av.error.ExitError):
        return VideoError(f"{stream} does not answer within {OPEN_S:g} s", "Check the address and the network.")
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return VideoError(f"{stream} wants another user and password", "Write scheme://user:password@machine/….")
    reason = error.strerror if isinstance(error, av.error.FFmpegError) else "its address is not understood"
    hint = "Look which cameras there are, and who uses them." if stream.camera else "Check the address."
    return VideoError(f"{stream} cannot be read: {reason}", hint)
