"""The process of `vipnas`, which is also `python -m vipnas_cli`."""

import os
import sys
import threading
from contextlib import suppress

from vipnas_cli.cli.app import main


def start() -> None:
    """Runs the command line, and ends the process with its exit code."""
    try:
        main()
    except SystemExit as error:
        if threading.active_count() > 1:
            _leave_streams(error)
        raise


def _leave_streams(error: SystemExit) -> None:
    """Ends the process at once if a stream waits: all is written, and Python would wait as long as FFmpeg does."""
    from vipnas_cli.media.live import streams_wait

    if streams_wait():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):  # nobody reads it, or there is none
                stream.flush()
        os._exit(error.code if isinstance(error.code, int) else int(error.code is not None))


if __name__ == "__main__":
    start()
