"""Streams from real local servers: HTTP, plain TCP, RTSP with a password, and FFmpeg's own device as a camera."""

from __future__ import annotations

import base64
import errno
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, pairwise
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import av
import cv2
import numpy as np
import pytest

from vipnas_cli.errors import UsageError, VideoError
from vipnas_cli.media.decoding import Damage, read_packets
from vipnas_cli.media.inputs import open_input
from vipnas_cli.media.live import LiveReader


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that gives every connection to a function, one after another; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


class Breaking(Quiet):
    """Promises a file and sends half of it."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True


class Lengthless(Quiet):
    """Sends a file without a word on how long it is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Path(self.translate_path(self.path)).read_bytes())


class Pictures(Quiet):
    """Sends a picture as soon as there is one, as a web camera does."""

    sent_s: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        picture = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.sent_s.append(time.monotonic())
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(0.12)


@contextmanager
def web_server(folder: Path, kind: type[Quiet] = Quiet) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://someone:hunter2@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server for the folder of the test."""
    with web_server(tmp_path) as address:
        yield address


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
def test_a_file_of_a_web_server_is_that_file(make_clip: Callable[..., Path], web: str, name: str) -> None:
    clip = make_clip(name)
    with open_input(clip) as file, open_input(f"{web}/{name}?key=hunter2") as stream:
        assert [(f.index, f.time_s, f.image.tobytes()) for f in stream] == [
            (f.index, f.time_s, f.image.tobytes()) for f in file
        ]
        assert "hunter2" not in str(stream.info)


def test_a_connection_that_breaks_is_told_and_costs_no_picture_that_came(
    make_clip: Callable[..., Path], web: str, tmp_path: Path
) -> None:
    options = (("movflags", "faststart"),)
    whole = make_clip("whole.mp4", pts=range(60), size=(160, 120), options=options).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with open_input(tmp_path / "cut.mp4") as file, open_input(f"{web}/cut.mp4") as same:
        came = [frame.index for frame in file]
        # Nothing broke: the file itself is cut off.
        assert [frame.index for frame in same] == came
        assert same.damaged == file.damaged == 60 - len(came)
        assert file.info.notes == same.info.notes == ()
    with web_server(tmp_path, Breaking) as address, open_input(f"{address}/whole.mp4") as reader:
        assert not reader.info.notes
        assert [frame.index for frame in reader] == came
        assert reader.damaged == 1
        (note,) = reader.info.notes
    seconds = len(came) / 25
    assert re.fullmatch(
        rf"the connection to http://[\d.:]+/whole.mp4 broke at {seconds:.1f} s of 2.4 s; run it again", note
    )


def test_a_file_that_came_whole_did_not_break(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    make_clip("whole.mp4", options=(("movflags", "faststart"),))
    with web_server(tmp_path, Lengthless) as address, open_input(f"{address}/whole.mp4") as reader:
        assert len(list(reader)) == 20
        assert (reader.damaged, reader.info.notes) == (0, ())


def test_a_live_stream_that_ends_between_two_pictures_spoils_none(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vipnas_cli.media.live.FIRST_WAIT_S", 0.05)
    make_clip("whole.mp4", options=(("movflags", "faststart"),))
    with web_server(tmp_path, Lengthless) as address, open_input(f"{address}/whole.mp4", live=True) as reader:
        while not any("made again" in note for note in reader.info.notes):
            next(iter(reader))
        assert reader.damaged == 0


def test_pictures_without_time_stamps_have_the_times_at_which_they_come(tmp_path: Path) -> None:
    with web_server(tmp_path, Pictures) as address, open_input(address, end_s=0.7, live=True) as reader:
        times = [frame.time_s for frame in reader]
    step = np.diff(Pictures.sent_s).mean()
    assert len(times) > 2
    assert np.diff(times).mean() == pytest.approx(step, rel=0.25)
    assert reader.info.average_rate == pytest.approx(1 / step, rel=0.25)


def test_refusals_name_the_stream_without_its_password(web: str) -> None:
    for address, reason in ((f"{web}/nothing.mp4", "404"), ("rtsp://someone:hunter2@127.0.0.1:1/x", "refused")):
        with pytest.raises(VideoError, match=reason) as caught:
            open_input(address)
        told = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
        assert "127.0.0.1" in told
        assert "hunter2" not in told


def slowly(data: bytes, connection: socket.socket, seconds: float = 1.0) -> None:
    """Sends bytes evenly over a time."""
    parts = 50
    size = -(-len(data) // parts)
    for start in range(0, len(data), size):
        connection.sendall(data[start : start + size])
        time.sleep(seconds / parts)


def test_a_connection_that_breaks_is_made_again(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipnas_cli.media.live.FIRST_WAIT_S", 0.05)
    data = make_clip("clip.ts").read_bytes()
    with serving(partial(slowly, data)) as port, open_input(f"tcp://127.0.0.1:{port}") as reader:
        times = []
        for frame in reader:
            times.append((frame.index, frame.time_s))
            if reader.info.notes and frame.time_s > 1:
                break
        assert "made again 1 times" in reader.info.notes[-1]
        assert times[0] == (0, 0.0)
        # The second connection goes on by the clock on the wall, not from 0.
        assert all(earlier[0] < later[0] and earlier[1] < later[1] for earlier, later in pairwise(times))


def test_a_part_of_a_stream_begins_at_its_start(make_clip: Callable[..., Path]) -> None:
    data = make_clip("clip.ts", pts=range(50)).read_bytes()
    with serving(partial(slowly, data)) as port:
        with open_input(f"tcp://127.0.0.1:{port}", start_s=0.5, end_s=1.0) as reader:
            times = [frame.time_s for frame in reader]
        assert times
        assert all(0.5 <= time_s < 1.0 for time_s in times)


def test_a_stream_that_ends_before_its_start_is_told(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipnas_cli.media.live.PATIENCE_S", 0.0)
    with serving(partial(slowly, make_clip("clip.ts").read_bytes())) as port:
        reader = open_input(f"tcp://127.0.0.1:{port}", start_s=60)
        with reader, pytest.raises(VideoError, match="has no picture from 60 s to its end"):
            list(reader)


def test_late_pictures_give_way_to_new_ones(make_clip: Callable[..., Path]) -> None:
    data = make_clip("clip.ts", pts=range(250)).read_bytes()
    with serving(partial(slowly, data, seconds=2.0)) as port, open_input(f"tcp://127.0.0.1:{port}", end_s=2) as reader:
        time.sleep(0.2)  # what comes before anybody asks is no part of the run
        numbers = []
        for frame in reader:
            numbers.append(frame.index)
            time.sleep(0.1)
        assert 2 <= len(numbers) < 25
        assert numbers[0] == 0
        assert all(earlier < later for earlier, later in pairwise(numbers))
        assert re.match(r"\d+ pictures came too fast", reader.info.notes[0])
        assert reader.damaged == 0


def test_a_stream_that_stalls_is_given_up_and_can_be_stopped(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_clip("clip.ts", pts=range(100)).read_bytes()

    def stall(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.recv(1)

    with serving(stall) as port, open_input(f"tcp://127.0.0.1:{port}") as reader:
        threading.Timer(0.3, reader.stop).start()
        started = time.monotonic()
        assert list(reader)
        assert time.monotonic() - started < 2
    waits = {"live.PATIENCE_S": 0.4, "live.FIRST_WAIT_S": 0.1, "connection.READ_S": 0.2, "connection.OPEN_S": 0.2}
    for name, seconds in waits.items():
        monkeypatch.setattr(f"vipnas_cli.media.{name}", seconds)
    with serving(lambda connection: slowly(data, connection, 0.1)) as port:
        reader = open_input(f"tcp://127.0.0.1:{port}")
    with reader:  # the server is gone
        assert list(reader)
        assert "was lost" in reader.info.notes[-1]
        assert reader.damaged >= 1


def test_the_interpreter_ends_after_the_thread_that_waits_for_a_stalled_stream(make_clip: Callable[..., Path]) -> None:
    """Its end frees what FFmpeg uses: whoever is inside then crashes, though rarely."""
    data = make_clip("clip.ts", pts=range(100)).read_bytes()

    def stall(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.recv(1)

    with serving(stall) as port:
        program = (
            "import atexit, threading\n"
            "from vipnas_cli.media import connection, inputs\n"
            "connection.READ_S = 2.0\n"
            "atexit.register(lambda: print(threading.active_count()))\n"
            f"reader = inputs.open_input('tcp://127.0.0.1:{port}')\n"
            "next(iter(reader))\n"
            "reader.close()\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.split()) == (0, ["1"]), ended.stderr


@pytest.mark.parametrize("taken", [0, 2])
def test_a_reader_that_is_dropped_midway_lets_go_of_its_stream(make_clip: Callable[..., Path], taken: int) -> None:
    data, left = make_clip("clip.ts").read_bytes(), threading.Event()

    def endless(connection: socket.socket) -> None:
        try:
            while True:
                slowly(data, connection)
        finally:
            left.set()

    with serving(endless) as port:
        reader = open_input(f"tcp://127.0.0.1:{port}")
        for _ in range(taken):
            next(iter(reader))  # which goes on where another one ended
        assert not left.is_set()
        del reader
        assert left.wait(5)


def test_only_streams_and_pipes_are_live(make_clip: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="not live"):
        open_input(make_clip(), live=True)


def test_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's device of test pictures in the place of the system's cameras: no camera can be counted on."""
    source = "testsrc=size=64x48:rate=25,realtime"
    monkeypatch.setattr(
        "vipnas_cli.media.connection._CAMERAS", {"Linux": ("lavfi", source), "Darwin": ("lavfi", source)}
    )
    with open_input("0", end_s=0.3, stride=2) as reader:
        assert isinstance(reader, LiveReader)
        assert reader.info.frames is None
        frames = list(reader)
    assert all(frame.index % 2 == 0 and frame.image.shape == (48, 64, 3) for frame in frames)
    assert 1 <= len(frames) <= 4


class Hesitating:
    """A demuxer that fails until its next packet is there, as that of cameras of macOS."""

    def __init__(self, container: Any, failures: int = 7) -> None:
        self._container, self._failures, self._left = container, failures, failures
        self._packets: Iterator[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, *streams: Any) -> Iterator[Any]:
        self._packets = self._packets or self._container.demux(*streams)
        while True:
            if self._left:
                self._left -= 1
                raise av.error.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", "0")
            self._left = self._failures
            packet = next(self._packets, None)
            if packet is None:
                return
            yield packet


def test_a_packet_that_is_not_there_yet_is_waited_for(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage = Damage()
    with av.open(str(make_clip())) as container:
        (stream,) = container.streams
        packets = read_packets(Hesitating(container), [stream], damage)  # type: ignore[arg-type]
        assert sum(packet.size > 0 for packet in packets) == 20
        assert (damage.errors, damage.broken) == (0, False)
        never, looks = Hesitating(container, 1 << 20), iter((False, True))
        packets = read_packets(never, [stream], damage, lambda: next(looks))  # type: ignore[arg-type]
        assert [packet.size for packet in packets] == [0]
        assert (damage.errors, damage.broken) == (0, True)
        monkeypatch.setattr("vipnas_cli.media.decoding.READ_S", 0.05)
        assert [packet.size for packet in read_packets(never, [stream], damage)] == [0]  # type: ignore[arg-type]
        assert (damage.errors, damage.unread) == (1, 1)


def test_a_camera_of_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = av.open, []

    def refusing(_address: str, _mode: str, kind: str, options: dict[str, str], **_: object) -> Hesitating:
        asked.append((kind, dict(options)))
        if options:
            raise av.error.OSError(errno.EIO, "Input/output error", "0")
        return Hesitating(opened("testsrc=size=64x48:rate=25,realtime", "r", "lavfi"))

    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("vipnas_cli.media.connection.av.open", refusing)
    with open_input("0", end_s=0.4) as reader:
        assert len(list(reader)) > 1
        assert reader.damaged == 0
    assert asked == [("avfoundation", {"framerate": "30"}), ("avfoundation", {})]


USER = base64.b64encode(b"someone:hunter2").decode()
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)


def rtsp(pictures: list[bytes], connection: socket.socket) -> None:
    """RTSP (RFC 2326) as far as a client needs it: a password, then H.264 over the same connection without end."""
    with connection.makefile("rb") as file:
        while _answered(file, connection) != "PLAY":
            pass
    numbers = count()
    for index in count():
        units = [unit for unit in re.split(rb"\x00?\x00\x00\x01", pictures[index % len(pictures)]) if unit]
        for unit in units:
            last = 0x80 if unit is units[-1] else 0
            packet = struct.pack(">BBHII", 0x80, last | 96, next(numbers) & 0xFFFF, 3600 * (index + 1), 7) + unit
            connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        time.sleep(0.01)


def _answered(file: BinaryIO, connection: socket.socket) -> str:
    """Answers a request; its method if it had the password."""
    lines = list(iter(lambda: file.readline().decode().strip(), ""))
    if not lines:
        raise ConnectionResetError
    method = lines[0].split()[0]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    told, body, extra = "200 OK", "", "Session: 1\r\n"
    if headers.get("authorization") != f"Basic {USER}":
        told, method, extra = "401 Unauthorized", "", 'WWW-Authenticate: Basic realm="test"\r\n'
    elif method == "DESCRIBE":
        body, extra = SDP, f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n"
    elif method == "SETUP":
        extra += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
    connection.sendall(f"RTSP/1.0 {told}\r\nCSeq: {headers['cseq']}\r\n{extra}\r\n{body}".encode())
    return method


def test_rtsp_with_a_password(make_clip: Callable[..., Path], which_frame: Callable[..., int]) -> None:
    with av.open(str(make_clip("clip.h264", key_every=1))) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    with serving(partial(rtsp, pictures)) as port:
        with open_input(f"rtsp://someone:hunter2@127.0.0.1:{port}/live/one", end_s=0.6) as reader:
            assert str(reader.info.path) == f"rtsp://127.0.0.1:{port}/live/one"
            frames = list(reader)
        shown = [which_frame(frame.image) for frame in frames]  # twenty pictures, again and again
        assert shown == [(shown[0] + frame.index) % len(pictures) for frame in frames]
        assert np.diff([frame.time_s for frame in frames]) == pytest.approx(0.04 * np.diff([f.index for f in frames]))
        with pytest.raises(VideoError, match="wants another user and password"):
            open_input(f"rtsp://someone:wrong@127.0.0.1:{port}/live/one")
