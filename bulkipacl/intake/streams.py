"""A path or standard input as plain UTF-8 bytes, in bounded pieces.

Not here: what the bytes mean (`formats`, `readers`).

    CorruptError, LongLineError   what a reader turns into one invalid record
    Peekable     bytes whose beginning can be looked at before they are read
    open_bytes   opens, decompresses, takes a byte-order mark off, turns UTF-16 into UTF-8
    LineBlocks   the same bytes in blocks of whole lines

Nothing here ever holds more than about a megabyte, whatever a compressed file unfolds into.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from bulkipacl.errors import InputError

CHUNK_BYTES = 128 * 1024
"""Read at once: larger chunks are no faster (measured), and each is held a few times over."""

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is no record of this world: 100 cells of the longest name are 25 kB."""

_ZSTD_STEP_BYTES = 512
"""Compressed bytes handed on at once: zstd can unfold 4 bytes into 128 kB, so this bounds one
step of a hostile file at 16 MB; of an ordinary one it costs under 0.5 us a row."""

_ZSTD_MAX_WINDOW_BYTES = 64 * 1024 * 1024
"""What a frame may ask to be kept in memory; ordinary levels ask for 8 MB."""

Read = Callable[[int], bytes]


class CorruptError(Exception):
    """Compressed data that cannot be unfolded any further; the text says why."""


class LongLineError(Exception):
    """A line over `MAX_LINE_BYTES`; `start` is how it begins."""

    def __init__(self, start: bytes) -> None:
        super().__init__("over-long line")
        self.start = start


class Peekable:
    """Bytes whose beginning can be looked at before they are read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._ahead = b""
        self._failure: CorruptError | None = None

    def peek(self, is_enough: Callable[[bytes], bool], limit: int = MAX_LINE_BYTES) -> bytes:
        """The beginning: read on until it is enough, the limit is reached or there is no more."""
        while not is_enough(self._ahead) and len(self._ahead) < limit and self._failure is None:
            try:
                more = self._read(CHUNK_BYTES)
            except CorruptError as exc:
                if not self._ahead:
                    raise
                self._failure = exc  # only after what could still be read
                break
            if not more:
                break
            self._ahead += more
        return self._ahead

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """The next bytes, fewer than `size` where no more have come yet; b"" at the end."""
        if self._ahead:
            ahead, self._ahead = self._ahead[:size], self._ahead[size:]
            return ahead
        if self._failure is not None:
            raise self._failure
        return self._read(size)

    def skip(self, count: int) -> None:
        """Drops the first bytes of what was looked at."""
        self._ahead = self._ahead[count:]


def open_bytes(path: str, stdin: BinaryIO | None) -> tuple[Peekable, Callable[[], None]]:
    """The bytes of an input as UTF-8, and what closes it.

    Compression is known by its ending, or by its first bytes (standard input has no name).

    Raises:
        InputError: it cannot be opened or read.
        CorruptError: not even its beginning can be unfolded.
    """
    file, close = _open(path, stdin)
    raw = Peekable(lambda size: _read_some(file, size, path))
    try:
        start = raw.peek(lambda data: len(data) >= 4)[:4]
        ending = Path(path).suffix.lower()
        if ending == ".gz" or start[:2] == b"\x1f\x8b":
            raw = Peekable(_gunzip(raw))
        elif ending == ".zst" or start == b"\x28\xb5\x2f\xfd":
            raw = Peekable(_unzstd(raw))
        return _take_mark(raw), close
    except BaseException:
        close()
        raise


def _open(path: str, stdin: BinaryIO | None) -> tuple[BinaryIO, Callable[[], None]]:
    if path == "-":
        # Not ours to close: whoever started the program owns its standard input.
        return stdin if stdin is not None else sys.stdin.buffer, lambda: None
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - the source closes it
    except FileNotFoundError as exc:
        raise InputError(f"{path}: there is no such file", hint="check the path") from exc
    except IsADirectoryError as exc:
        hint = "name the files in it, such as DIR/*.csv"
        raise InputError(f"{path}: this is a directory, not a file", hint=hint) from exc
    except PermissionError as exc:
        hint = "it must be readable by the user who runs this"
        raise InputError(f"{path}: no permission to read it", hint=hint) from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"{path!a}: cannot be opened: {_cause(exc)}") from exc
    return file, file.close


def _cause(exc: Exception) -> str:
    text = exc.strerror if isinstance(exc, OSError) else None
    return text or str(exc) or type(exc).__name__


def _read_some(file: BinaryIO, size: int, path: str) -> bytes:
    """What is there now: a pipe must not wait until a whole chunk has come."""
    read1 = getattr(file, "read1", None)
    try:
        return cast("bytes", read1(size)) if read1 is not None else file.read(size) or b""
    except OSError as exc:
        if exc.errno == errno.EISDIR:
            raise InputError(f"{path}: this is a directory, not a file") from exc
        raise InputError(f"{path}: cannot be read: {_cause(exc)}") from exc


def _gunzip(source: Peekable) -> Read:
    unfolded = gzip.GzipFile(fileobj=cast("IO[bytes]", source), mode="rb")

    def read(size: int) -> bytes:
        try:
            return unfolded.read1(size)
        except EOFError as exc:
            raise CorruptError("the compressed data end too early") from exc
        except (gzip.BadGzipFile, zlib.error) as exc:
            raise CorruptError(f"the compressed data are damaged: {exc}") from exc

    return read


def _unzstd(source: Peekable) -> Read:
    pieces = _unzstd_pieces(source)
    return lambda _size: next(pieces, b"")


def _unzstd_pieces(source: Peekable) -> Iterator[bytes]:
    """Frame by frame. (The library's own stream reader takes a cut-off frame for an end.)"""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    is_open = False
    gathered: list[bytes] = []
    while data := source.read(CHUNK_BYTES):
        view = data
        while view:
            step, view = view[:_ZSTD_STEP_BYTES], view[_ZSTD_STEP_BYTES:]
            try:
                piece = frame.decompress(step)
            except zstandard.ZstdError as exc:
                if gathered:
                    yield b"".join(gathered)
                raise CorruptError(f"the compressed data are damaged: {exc}") from exc
            is_open = not frame.eof
            if frame.eof:
                view = frame.unused_data + view
                frame = decompressor.decompressobj()
            if piece:
                gathered.append(piece)
            if sum(map(len, gathered)) >= CHUNK_BYTES:
                yield b"".join(gathered)
                gathered.clear()
        if gathered:
            yield b"".join(gathered)
            gathered.clear()
    if is_open:
        raise CorruptError("the compressed data end too early")


def _take_mark(source: Peekable) -> Peekable:
    """Takes a byte-order mark off; UTF-16 (a spreadsheet's "Unicode text") becomes UTF-8."""
    start = source.peek(lambda data: len(data) >= 3)
    if start.startswith(codecs.BOM_UTF8):
        source.skip(3)
        return source
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if start.startswith(mark):
            source.skip(2)
            return Peekable(_recode(source, name))
    return source


def _recode(source: Peekable, encoding: str) -> Read:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def read(size: int) -> bytes:
        while data := source.read(size):
            text = decoder.decode(data)
            if text:
                return text.encode()
        return decoder.decode(b"", final=True).encode()

    return read


class LineBlocks:
    """Blocks of whole lines; after an over-long one, which raises, the next block goes on.

    Attributes:
        unanswered_bytes: bytes handed out since the reader last set it to 0. A reader that takes in
            megabytes without completing a record is fed a hostile file.
        rest: the beginning of a line whose end has not come.
    """

    def __init__(self, source: Peekable, *, is_cr_an_end: bool = False) -> None:
        self._source = source
        self._is_cr_an_end = is_cr_an_end
        self._is_skipping = False
        self.rest = b""
        self.unanswered_bytes = 0

    def next_block(self) -> bytes:
        """The next block, b"" at the end.

        Raises:
            LongLineError, CorruptError, InputError: see the classes; the first is not the end.
        """
        while True:
            data = self._source.read(CHUNK_BYTES)
            if self._is_skipping and data:
                data = self._skipped(data)
                if not data:
                    continue
            if not data:
                block, self.rest = self.rest, b""
                return self._handed(block)
            cut = self._cut(data)
            if cut:
                block, self.rest = self.rest + data[:cut], data[cut:]
                return self._handed(block)
            self.rest += data
            if len(self.rest) > MAX_LINE_BYTES:
                start, self.rest = self.rest[:200], b""
                self._is_skipping = True
                raise LongLineError(start)

    def _handed(self, block: bytes) -> bytes:
        self.unanswered_bytes += len(block)
        return block

    def _cut(self, data: bytes) -> int:
        """Where the last whole line ends; a last CR may be half of a CR LF and does not count."""
        cut = data.rfind(b"\n") + 1
        if not cut and self._is_cr_an_end:
            cut = data.rfind(b"\r", 0, len(data) - 1) + 1
        return cut

    def _skipped(self, data: bytes) -> bytes:
        """What follows the over-long line, b"" while it goes on."""
        end = data.find(b"\n") + 1
        self._is_skipping = not end
        return data[end:] if end else b""
