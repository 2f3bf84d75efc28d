"""The one reader of JSON and TOML: limits on size and depth, one sentence for whatever is not as it should be.

JSON is read by its standard: UTF-8 (a byte order mark is accepted), no NaN or Infinity, no number out of range. A shape
is a type: dataclasses, typed dictionaries, lists, numbers, texts; what else a document holds is left out.
"""

from __future__ import annotations

import codecs
import gc
import gzip
import io
import json
import reprlib
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vipnas_cli.errors import VipnasError
from vipnas_cli.files import read_regular, shown

T = TypeVar("T")

# Labels of the largest public data sets have half of it; what small files of vipnas need is a thousandth.
LARGEST_LABELS = 600_000_000
LARGEST = 16_000_000
# Labels shrink to a tenth; a file that grows by more than this was made to fill the memory.
MOST_PACKED, ALWAYS_UNPACKED = 100, 10_000_000
LONGEST_REASON = 300
NO_NUMBERS = (b"NaN", b"Infinity")
_CHUNK = 1 << 20
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class DocumentKind:
    """A kind of document: what it is called, which error tells that a file is none, and what to do then."""

    name: str
    error: type[VipnasError]
    hint: str
    largest: int = LARGEST

    def read(self, path: Path, shape: type[T]) -> T:
        """The document in a `.json` or `.json.gz` file, in its shape."""
        return self.parse(self.read_bytes(path), path, shape)

    def read_any(self, path: Path) -> Any:
        """The document in a `.json` or `.json.gz` file, whatever it holds."""
        return self.parse_any(self.read_bytes(path), path)

    def read_lines(self, path: Path, shape: type[T]) -> list[T]:
        """The documents in a file of JSON lines; a last line that a crash cut off is left out."""
        lines = self.read_bytes(path).split(b"\n")[:-1]
        places = (f"{shown(path)}, line {number}" for number in range(1, len(lines) + 1))
        return [self.convert(self.parse_any(line, at), at, shape) for line, at in zip(lines, places, strict=True)]

    def read_toml(self, path: Path) -> dict[str, Any]:
        """The tables of a TOML file."""
        return self.parse_toml(self.read_text(path), path)

    def parse(self, data: bytes | str, origin: Path | str, shape: type[T]) -> T:
        """The JSON document in `data`, which came from `origin`, in its shape."""
        import msgspec  # here, as most commands read no document before they say what they can

        with self.told(origin), _no_collections():
            plain = _plain(data)
            try:
                return msgspec.json.decode(plain, type=shape)
            except msgspec.DecodeError:
                plain.decode("utf-8")  # whose error tells the place
                raise

    def parse_any(self, data: bytes | str, origin: Path | str) -> Any:
        """The JSON document in `data`, which came from `origin`, whatever it holds.

        NaN and Infinity, which Python writes and JSON has not, are let through for those who tell where they stand.
        """
        import msgspec

        with self.told(origin), _no_collections():
            plain = _plain(data)
            try:
                return msgspec.json.decode(plain)
            except msgspec.DecodeError:
                plain.decode("utf-8")
                if any(word in plain for word in NO_NUMBERS):
                    return json.loads(plain)
                raise

    def parse_toml(self, text: str, origin: Path | str) -> dict[str, Any]:
        """The tables of a TOML text, which came from `origin`."""
        with self.told(origin):
            return tomllib.loads(text)

    def convert(self, value: object, origin: Path | str, shape: type[T]) -> T:
        """A value of a document, which came from `origin`, in its shape."""
        import msgspec

        with self.told(origin):
            return msgspec.convert(value, shape, str_keys=True)  # as JSON has keys

    def read_text(self, path: Path) -> str:
        """The text of a file, which is UTF-8."""
        data = self.read_bytes(path)
        with self.told(path):
            return _plain(data).decode("utf-8")

    def read_bytes(self, path: Path) -> bytes:
        """The content of a file of bounded size, unpacked if its name ends in .gz."""
        try:
            data = read_regular(path, self.largest)
            return self._unpacked(data) if path.suffix == ".gz" else data
        except FileNotFoundError:
            raise self.error(f"{shown(path)} does not exist", "check the path") from None
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self.error(f"{shown(path)} cannot be read: {reason}", self.hint) from error
        except (MemoryError, ValueError) as error:
            raise self.error(f"{shown(path)} cannot be read: {error or 'too little memory'}", self.hint) from error

    def _unpacked(self, data: bytes) -> bytes:
        limit = min(self.largest, max(MOST_PACKED * len(data), ALWAYS_UNPACKED))
        found = bytearray()
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while chunk := file.read(_CHUNK):
                found += chunk
                if len(found) > limit:
                    raise ValueError(f"its {len(data) / 1e6:.3g} MB unpack to more than {limit / 1e6:.0f} MB")
        return bytes(found)

    @contextmanager
    def told(self, origin: Path | str) -> Iterator[None]:
        """Whatever is wrong with values of a document within it is told as one sentence."""
        try:
            yield
        except VipnasError as error:
            if isinstance(error, self.error):
                raise
            what = f"{shown(origin)} is not {self.name}: {error.what[:LONGEST_REASON]}"
            raise self.error(what, error.hint or self.hint) from error
        except RecursionError as error:
            raise self.error(f"{shown(origin)} is not {self.name}: it is nested too deep", self.hint) from error
        except MemoryError as error:
            raise self.error(f"{shown(origin)} takes more memory than there is", self.hint) from error
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            name = _format(error) or self.name
            raise self.error(f"{shown(origin)} is not {name}: {_sentence(error)}", self.hint) from error


def brief(value: object) -> str:
    """A value from a document as short text, however large it is."""
    return shown(_REPR.repr(value))


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 3


def _plain(data: bytes | str) -> bytes:
    """Bytes without a byte order mark; ValueError for another encoding."""
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if data.startswith(_WIDE):
        raise ValueError("it is UTF-16 or UTF-32, expected UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _format(error: Exception) -> str:
    """What a text is not if it cannot even be parsed; nothing for a document of the wrong shape."""
    import msgspec

    if isinstance(error, tomllib.TOMLDecodeError):
        return "readable TOML"
    malformed = isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError)
    return "readable JSON" if malformed else "readable text" if isinstance(error, UnicodeDecodeError) else ""


def _sentence(error: Exception) -> str:
    """What an error of a reader says, with the place first: `at loop.steps: expected int, got str`."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    if isinstance(error, KeyError):
        return f"{brief(error.args[0])} is missing"
    what, _, place = str(error).partition(" - at `$")
    what = shown(what.replace("`", "").removeprefix("JSON is malformed: "))
    what = what if len(what) <= LONGEST_REASON else f"{what[:LONGEST_REASON]}…"
    what = what[:1].lower() + what[1:]
    return f"at {shown(place.strip('`.'))[:80]}: {what}" if place else what


@contextmanager
def _no_collections() -> Iterator[None]:
    """A parser makes millions of objects, none of them garbage: looking for it takes two thirds of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
