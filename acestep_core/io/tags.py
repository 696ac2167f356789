"""Named texts inside audio files, written where ComfyUI's canvas looks for `prompt` and `workflow`.

FLAC and Ogg carry Vorbis comments (RFC 9639 §8.6, RFC 7845 §5.2), MP3 an ID3v2.4 tag in front, WAV the same tag in an
`id3 ` chunk. Names without a standard ID3 frame become `TXXX` frames. The canvas reads bytes as Latin-1, so JSON meant
for it should be written with ASCII escapes, and it has no reader for WAV.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from acestep_core.errors import AudioError, InvalidInput

_VENDOR = "acestep-nodes"
_MAX_BYTES = (1 << 24) - 1
"""Largest FLAC metadata block; the same limit is used for the other containers."""
_FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "genre": b"TCON",
    "date": b"TDRC",
    "bpm": b"TBPM",
    "key": b"TKEY",
    "encoder": b"TSSE",
}
_NAMES = {frame: name for name, frame in _FRAMES.items()}
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def write_tags(path: Path | str, tags: Mapping[str, str]) -> None:
    """Puts `tags` into a FLAC, Ogg Opus, MP3 or WAV file that was just written, replacing FLAC and Ogg comments.

    Raises:
        InvalidInput: a name is not plain ASCII text without `=`, or a value contains a null character.
        AudioError: the file is of another kind, or the tags are too large (16 MiB).
    """
    _check(tags)
    path = Path(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"RIFF":
        _tag_wav(path, _id3(tags))
        return
    data = path.read_bytes()
    if magic == b"fLaC":
        path.write_bytes(_tag_flac(data, tags))
    elif magic == b"OggS":
        path.write_bytes(_tag_ogg(data, tags))
    elif magic[:2] in (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"):
        path.write_bytes(_id3(tags) + data)
    else:
        raise AudioError(f"{path.name} is not a FLAC, Ogg, MP3 or WAV file, so tags cannot be written into it.")


def read_tags(path: Path | str) -> dict[str, str]:
    """The texts found in a FLAC, Ogg, MP3, WAV or PNG file, names in lower case; empty if there are none.

    Raises:
        AudioError: the file cannot be opened.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic == b"fLaC":
                return _parse_comments(_find_flac_comments(file))
            if magic == b"OggS":
                return _parse_comments(_find_ogg_comments(file))
            if magic[:3] == b"ID3":
                header = file.read(10)
                return _parse_id3(header + file.read(_synchsafe_value(header[6:10])))
            if magic == b"RIFF":
                return _parse_id3(file.read(_seek_wav_chunk(file, b"id3 ")))
            return _png_texts(file) if magic == b"\x89PNG" else {}
    except OSError as error:
        raise AudioError(f"{path.name} cannot be opened; check that the file exists and may be read.") from error


def _check(tags: Mapping[str, str]) -> None:
    for name, value in tags.items():
        if not name or "=" in name or not all(" " <= char <= "}" for char in name):
            raise InvalidInput(f"The tag name {name!r} is not allowed; use plain letters, digits, '_' and '-'.")
        if "\0" in value:
            raise InvalidInput(f"The tag {name!r} contains a null character; remove it.")
    if sum(len(name) + len(value.encode()) + 16 for name, value in tags.items()) > _MAX_BYTES - 1024:
        raise AudioError("The tags are larger than 16 MiB; save without the workflow.")


def _png_texts(file: BinaryIO) -> dict[str, str]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return {str(name).lower(): text for name, text in picture.info.items() if isinstance(text, str)}
    except ValueError as error:  # Pillow's word for more text than it unpacks
        raise AudioError("The picture holds more text than a workflow; save it again.") from error


# Vorbis comments


def _comments(tags: Mapping[str, str]) -> bytes:
    entries = [_VENDOR.encode(), *(f"{name}={value}".encode() for name, value in tags.items())]
    sized = [struct.pack("<I", len(entry)) + entry for entry in entries]
    return sized[0] + struct.pack("<I", len(tags)) + b"".join(sized[1:])


def _parse_comments(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    if len(data) < 8:
        return found
    offset = 4 + struct.unpack_from("<I", data)[0]
    count = struct.unpack_from("<I", data, offset)[0] if offset + 4 <= len(data) else 0
    offset += 4
    for _ in range(count):
        if offset + 4 > len(data):
            break
        size = struct.unpack_from("<I", data, offset)[0]
        name, separator, value = data[offset + 4 : offset + 4 + size].decode("utf-8", "replace").partition("=")
        if separator:
            found[name.lower()] = value
        offset += 4 + size
    return found


def _flac_blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """`(kind, content)` of each metadata block; leaves the file at the first audio frame."""
    file.seek(4)
    last = False
    while not last:
        header = file.read(4)
        if len(header) < 4:
            return
        last, kind = bool(header[0] & 0x80), header[0] & 0x7F
        yield kind, file.read(int.from_bytes(header[1:], "big"))


def _find_flac_comments(file: BinaryIO) -> bytes:
    return next((content for kind, content in _flac_blocks(file) if kind == 4), b"")


def _tag_flac(data: bytes, tags: Mapping[str, str]) -> bytes:
    file = io.BytesIO(data)
    blocks = [(kind, content) for kind, content in _flac_blocks(file) if kind not in (1, 4)]  # padding, comments
    blocks.append((4, _comments(tags)))
    out = [b"fLaC"]
    for index, (kind, content) in enumerate(blocks):
        last = 0x80 if index == len(blocks) - 1 else 0
        out.append(bytes([kind | last]) + len(content).to_bytes(3, "big") + content)
    return b"".join([*out, data[file.tell() :]])


# Ogg


def _ogg_pages(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """`(header, segment table, body)` of each page."""
    offset = 0
    while data[offset : offset + 4] == b"OggS" and offset + 27 <= len(data):
        table = data[offset + 27 : offset + 27 + data[offset + 26]]
        start = offset + 27 + len(table)
        offset = start + sum(table)
        yield data[start - 27 - len(table) : start - len(table)], table, data[start:offset]


def _find_ogg_comments(file: BinaryIO) -> bytes:
    """The second packet of the stream without its codec signature."""
    packets, packet = 0, bytearray()
    for _, table, body in _ogg_pages(file.read(_MAX_BYTES + (1 << 20))):
        offset = 0
        for size in table:
            packet += body[offset : offset + size]
            offset += size
            if size < 255:
                packets += 1
                if packets == 2:
                    for signature in (b"OpusTags", b"\x03vorbis"):
                        if packet.startswith(signature):
                            return bytes(packet[len(signature) :])
                    return b""
                packet.clear()
    return b""


def _tag_ogg(data: bytes, tags: Mapping[str, str]) -> bytes:
    """Replaces the comment packet of an Ogg Opus file and numbers all pages anew.

    The stream's serial number, which encoders draw at random, becomes a checksum of the audio, so that the same audio
    gives the same file.
    """
    pages = list(_ogg_pages(data))
    if not pages or not pages[0][2].startswith(b"OpusHead"):
        raise AudioError("Only Opus audio in Ogg files can be tagged; save as opus.")
    first_audio = next(index for index, (header, _, _) in enumerate(pages) if _granule(header) not in (0, -1))
    serial = struct.pack("<I", zlib.crc32(b"".join(body for _, _, body in pages[first_audio:])))
    comment = b"OpusTags" + _comments(tags)
    laced = [255] * (len(comment) // 255) + [len(comment) % 255]
    new_pages = [pages[0]]
    for start in range(0, len(laced), 255):
        table = bytes(laced[start : start + 255])
        body = comment[start * 255 : start * 255 + sum(table)]
        flags = 1 if start else 0  # 1: goes on from the page before
        granule = -1 if table[-1] == 255 else 0  # -1: no packet ends here
        new_pages.append((struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 0, 0, 0, len(table)), table, body))
    out = []
    for number, (header, table, body) in enumerate(new_pages + pages[first_audio:]):
        page = header[:14] + serial + struct.pack("<II", number, 0) + header[26:27] + table + body
        out.append(page[:22] + struct.pack("<I", _ogg_checksum(page)) + page[26:])
    return b"".join(out)


def _granule(header: bytes) -> int:
    return struct.unpack_from("<q", header, 6)[0]


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32 is zlib's with the bits of every byte and of the result in the other order, and no inversion."""
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED_BITS), "big")


# ID3


def _id3(tags: Mapping[str, str]) -> bytes:
    frames = b"".join(_frame(name, value) for name, value in tags.items())
    if not frames:  # an empty tag keeps libsndfile from recognising the file
        return b""
    return b"ID3\x04\x00\x00" + _synchsafe(len(frames)) + frames


def _frame(name: str, value: str) -> bytes:
    text = value.encode() + b"\0"  # the canvas looks for a closing brace followed by a null byte
    if name.lower() in _FRAMES:
        kind, content = _FRAMES[name.lower()], b"\x03" + text
    elif name.lower() == "lyrics":
        kind, content = b"USLT", b"\x03und\0" + text
    elif name.lower() == "comment":
        kind, content = b"COMM", b"\x03und\0" + text
    else:
        kind, content = b"TXXX", b"\x03" + name.encode() + b"\0" + text
    return kind + _synchsafe(len(content)) + b"\0\0" + content


def _parse_id3(data: bytes) -> dict[str, str]:
    """Reads the text frames of an ID3v2.3 or v2.4 tag."""
    found: dict[str, str] = {}
    if data[:3] != b"ID3" or len(data) < 10 or data[3] not in (3, 4) or data[5] & 0xC0:
        return found  # none, another version, or the rare unsynchronised or extended forms
    offset = 10
    while offset + 10 <= len(data) and data[offset] != 0:
        kind, sized = data[offset : offset + 4], data[offset + 4 : offset + 8]
        size = _synchsafe_value(sized) if data[3] == 4 else int.from_bytes(sized, "big")
        content = data[offset + 10 : offset + 10 + size]
        offset += 10 + size
        if not content or content[0] > 3:
            continue
        encoding, text = _ENCODINGS[content[0]], content[1:]
        if kind == b"TXXX":
            name, value = _split(text, encoding)
            found[name.lower()] = value
        elif kind in (b"USLT", b"COMM"):
            found["lyrics" if kind == b"USLT" else "comment"] = _split(text[3:], encoding)[1]
        elif kind in _NAMES:
            found[_NAMES[kind]] = text.decode(encoding, "replace").rstrip("\0")
    return found


def _split(text: bytes, encoding: str) -> tuple[str, str]:
    """Description and value of a frame; in UTF-16 each has a byte order mark of its own."""
    name, _, value = text.decode(encoding, "replace").partition("\0")
    return name, value.rstrip("\0").removeprefix("\ufeff")


def _synchsafe(number: int) -> bytes:
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))


def _synchsafe_value(data: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(data, (21, 14, 7, 0)))


# WAV


def _tag_wav(path: Path, tag: bytes) -> None:
    """Appends the tag as a chunk, and clears the time of writing that float files carry."""
    with path.open("rb+") as file:
        if _seek_wav_chunk(file, b"PEAK"):
            file.seek(4, 1)
            file.write(bytes(4))
        file.seek(0, 2)
        if tag:
            padding = b"\0" * (len(tag) % 2)
            file.write(b"\0" * (file.tell() % 2) + b"id3 " + struct.pack("<I", len(tag)) + tag + padding)
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))


def _seek_wav_chunk(file: BinaryIO, wanted: bytes) -> int:
    """Moves to the content of the first chunk of that name; its size, or 0 if there is none."""
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == wanted:
            return size
        file.seek(size + size % 2, 1)
    return 0
