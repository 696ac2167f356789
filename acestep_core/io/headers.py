"""What a sound file says of itself before its sound: how long it claims to be, and whether that can be true."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

_CHUNKED: Final[dict[bytes, tuple[int, int, str, bytes, int]]] = {
    b"RIFF": (12, 4, "<I", b"data", 2),
    b"RF64": (12, 4, "<I", b"data", 2),
    b"BW64": (12, 4, "<I", b"data", 2),
    b"FORM": (12, 4, ">I", b"SSND", 2),
    b"riff": (40, 16, "<Q", b"data", 8),
}
"""WAV, its two long forms, AIFF and Wave64: where chunks begin, bytes of a name, size field, the sound, alignment."""
_OPEN_END = 0x7FFF_0000
"""Sizes from here on are what programs write that stream and cannot come back to fill in the size."""
_CHUNKS_MAX = 10_000
_TAGS_MAX = 8
_BLOCK, _LAP = 1 << 20, 32
_FLAC = re.compile(rb"fLaC\0\0\0\x22")
_OGG_GOES_ON, _OGG_BEGINS = re.compile(rb"OggS\0[\0\1\4\5]"), re.compile(rb"OggS\0\x02")
_ID3 = re.compile(rb"ID3[\2-\4]\0[\0\x10\x40\x80\xc0][\0-\x7f]{4}")
_TRAILER = 1 << 16
"""Bytes behind the sound, in no chunk, that are more than the scraps some programs leave there."""


@dataclass
class SoundHeader:
    """What the first bytes tell. For other kinds of files all is left open.

    Attributes:
        samples: that the file claims for each channel.
        counted: whether an MP3 file says how long it is; otherwise a decoder guesses it from the size.
        share: of the sound that is there, where its size is claimed in bytes; below 1 it was cut off.
        speakers: bits of a WAV file's channel mask; 0 for none.
        claims: rate and channels of a WAV or AU file; None for others.
        repairs: bytes to read in place of those at an offset, so that a decoder reads all the sound there is.
        remark: what was wrong with the header.
        end: where another recording begins behind this one, which a decoder must not see.
    """

    samples: int | None = None
    counted: bool = False
    share: float = 1.0
    speakers: int = 0
    claims: tuple[int, int] | None = None
    repairs: dict[int, bytes] = field(default_factory=dict)
    remark: str = ""
    end: int | None = None


def read_header(file: Repaired) -> SoundHeader:
    """Looks at the start of a file, and at the end of an Ogg one; decodes nothing."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(26)
    if magic[:4] in _CHUNKED:
        return _chunked(file, magic[:4], size)
    if magic[:4] == b"fLaC" and len(magic) == 26:
        return _followed(_flac(magic), _found(file, _FLAC, 4))
    if magic[:4] == b".snd" and len(magic) == 26:
        offset, claimed, _, rate = struct.unpack(">4I", magic[4:20])
        channels = int.from_bytes(magic[20:24], "big")
        share = _share(size - offset, claimed if claimed < _OPEN_END else 0)
        return SoundHeader(share=share, claims=(rate, channels))
    if magic[:4] == b"OggS":
        header = SoundHeader(remark="" if _ogg_ends(file, size) else "has no end; it may be cut off")
        goes_on = _found(file, _OGG_GOES_ON, 0)
        return header if goes_on is None else _followed(header, _found(file, _OGG_BEGINS, goes_on))
    start = _id3_size(magic) if magic[:3] == b"ID3" else 0
    return _followed(SoundHeader(counted=_mp3_is_counted(file, start)), _found(file, _ID3, max(start, 1)))


def parse_format(content: bytes) -> tuple[int, int, int]:
    """Channels, rate and channel mask of a WAV file's `fmt ` chunk."""
    channels, rate = struct.unpack_from("<HI", content, 2)
    extensible = len(content) >= 40 and content[:2] == b"\xfe\xff"
    return channels, rate, struct.unpack_from("<I", content, 20)[0] if extensible else 0


def _sound_starts(file: BinaryIO) -> int:
    """Where a file begins that an ID3 tag was put in front of, though it is no MP3; 0 for others. Tags may follow one
    another.
    """
    at = 0
    for _ in range(_TAGS_MAX):
        file.seek(at)
        magic = file.read(10)
        if magic[:3] != b"ID3" or len(magic) < 10:
            break
        at += _id3_size(magic)
    return at if magic[:4] in (*_CHUNKED, b"fLaC", b"OggS", b".snd") else 0


def _id3_size(head: bytes) -> int:
    """Bytes of a tag with these first ten, its foot counted (id3.org, ID3v2.4.0 §3)."""
    size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
    return 10 + size + (10 if head[5] & 0x10 else 0)


class Repaired(io.RawIOBase):
    """A part of a file in which some bytes read as others.

    Attributes:
        start: where it begins in the file.
        size: of the part.
        repairs: bytes to read in place of those at an offset.
    """

    def __init__(self, file: BinaryIO, start: int = 0) -> None:
        self.file, self.start = file, start
        self.repairs: dict[int, bytes] = {}
        self.size = file.seek(0, os.SEEK_END) - start
        self.seek(0)

    @classmethod
    def by_header(cls, file: BinaryIO) -> tuple[Repaired, SoundHeader]:
        """The sound of a file as its header says that it is to be read, and the header."""
        sound = cls(file, _sound_starts(file))
        header = read_header(sound)
        sound.repairs = header.repairs
        sound.size = sound.size if header.end is None else header.end
        sound.seek(0)
        return sound, header

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell() - self.start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Decoders of damaged files also seek to before the start; they get the start."""
        base = {os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}.get(whence, 0)
        return self.file.seek(self.start + min(max(0, base + offset), self.size)) - self.start

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        at = self.tell()
        data = bytearray(self.file.read(max(0, min(len(buffer), self.size - at))))
        for offset, value in self.repairs.items():
            for index, byte in enumerate(value, offset - at):
                if 0 <= index < len(data):
                    data[index] = byte
        buffer[: len(data)] = data
        return len(data)


def _chunks(file: Repaired, magic: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and content's offset of each chunk; sizes are as claimed."""
    at, letters, layout, _, alignment = _CHUNKED[magic]
    head = letters + struct.calcsize(layout)
    for _ in range(_CHUNKS_MAX):
        file.seek(at)
        header = file.read(head)
        if len(header) < head:
            return
        size = struct.unpack(layout, header[letters:])[0] - (head if magic == b"riff" else 0)
        if size < 0:
            return
        yield header[:4], size, at + head
        at += head + size + -size % alignment


def _chunked(file: Repaired, magic: bytes, size: int) -> SoundHeader:
    header, long_size, passed, end = SoundHeader(), 0, False, 0
    for name, claimed, at in _chunks(file, magic):
        if passed:
            if name in _CHUNKED:
                return _followed(header, end)
        elif name == b"fmt ":
            file.seek(at)
            content = file.read(min(claimed, 40))
            if len(content) >= 16:
                channels, rate, header.speakers = parse_format(content)
                header.claims = rate, channels
        elif name == b"ds64":
            file.seek(at + 8)
            long_size = int.from_bytes(file.read(8), "little")
        elif name == _CHUNKED[magic][3]:
            there = size - at
            if claimed == 0xFFFF_FFFF and long_size:
                header.share = _share(there, long_size)
            elif claimed >= _OPEN_END and claimed > there and magic != b"riff":
                header.remark = "does not say how long it is and was read to its end"
            elif magic == b"RIFF" and _goes_on(file, at + claimed, size, claimed):
                header.remark = "says a wrong length and was read to its end"
                header.repairs = {4: struct.pack("<I", at + there - 8), at - 4: struct.pack("<I", there)}
            else:
                header.share = _share(there, claimed)
            passed = header.share == 1.0 and not header.remark
            if not passed:
                break
        end = at + claimed + -claimed % _CHUNKED[magic][4]
    return header


def _followed(header: SoundHeader, at: int | None) -> SoundHeader:
    """The header, with what is to be said and done where another file begins at `at`."""
    if at is not None:
        header.end = at
        header.remark = "holds another recording behind the first, which is not heard; make a file of its own of that"
    return header


def _found(file: Repaired, pattern: re.Pattern[bytes], start: int) -> int | None:
    """Where a pattern of at most `_LAP` bytes first stands in a file from `start` on."""
    file.seek(start)
    lap = b""
    while block := file.read(_BLOCK):
        if match := pattern.search(lap + block):
            return start - len(lap) + match.start()
        start += len(block)
        lap = (lap + block)[-_LAP:]
    return None


def _share(there: int, claimed: int) -> float:
    return min(1.0, there / claimed) if claimed else 1.0


def _goes_on(file: Repaired, end: int, size: int, claimed: int) -> bool:
    """Whether sound goes on where it should end: what follows is no chunk, and not a few scraps."""
    left = size - end
    if left < (_TRAILER if claimed else 1) or size > 0xFFFF_FFFF:
        return False
    for at in (end, end + claimed % 2):
        file.seek(at)
        head = file.read(8)
        named = len(head) == 8 and all(32 <= byte < 127 for byte in head[:4])
        if named and struct.unpack("<I", head[4:])[0] <= size - at - 8:
            return False
    file.seek(end)
    return not claimed or any(file.read(_TRAILER))


def _flac(magic: bytes) -> SoundHeader:
    """The count of samples is set to 0, which means unknown: a decoder then reads what there is."""
    packed = int.from_bytes(magic[18:26], "big")
    samples = packed & ((1 << 36) - 1)
    if not samples:
        return SoundHeader()
    return SoundHeader(samples=samples, repairs={18: (packed - samples).to_bytes(8, "big")})


def _mp3_is_counted(file: Repaired, start: int) -> bool:
    file.seek(start)
    first = file.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _ogg_ends(file: Repaired, size: int) -> bool:
    """Whether the last page is whole and marked as the last (RFC 3533 §6)."""
    file.seek(max(0, size - (1 << 17)))
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    table = tail[at + 27 : at + 27 + tail[at + 26]]
    return bool(tail[at + 5] & 4) and len(tail) >= at + 27 + tail[at + 26] + sum(table)
