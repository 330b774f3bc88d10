"""Where a C2PA manifest lies in a file, and whether the bytes of it that no signature covers are as they should be.

A signature covers the claim, and through its hashes the assertions and the rest of the file; the labels and lengths of
the boxes around them (JUMBF, ISO 19566-5) and the signature's own padding it cannot cover. In a manifest of our own
making those bytes are known, so that no byte of a file can change unseen. It knows no cryptography.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
HEAD = 8
"""Bytes of a box's length and type."""

NAMES = re.compile(rb"c2pa|urn:c2pa:[0-9a-f-]{36}(:[\w:.-]+)?|c2pa\.assertions|c2pa\.claim\.v2|c2pa\.signature")
SIGNATURE, ASSERTIONS = b"c2pa.signature", b"c2pa.assertions"
TYPE_END = bytes.fromhex("00110010800000aa00389b71")
REQUESTABLE = b"\x03"
"""Of the 16 bytes of a box's type all but the first four, and the switches of a box that has a label."""

BOX_NUMBER = 0x0211
"""What c2pa-rs numbers the box in a JPEG with."""

PADDING = re.compile(rb"\x63pad(?:[\x40-\x57]|\x58.|\x59..)(\0*)\xf6\x58\x40.{64}\Z", re.DOTALL)
"""The end of a COSE_Sign1 of ES256 (RFC 9052): "pad" and its zeros, no payload, 64 bytes of signature."""


def manifest(data: bytes) -> bytes | None:
    """The manifest store inside a PNG, a JPEG or a WebP, or None where the file has no whole one.

    The checksum that a PNG keeps of it must be right; the parts that a JPEG keeps it in must follow each other.
    """
    if data.startswith(PNG_START):
        return _only(_png(data))
    if data.startswith(JPEG_START):
        return _only(_jpeg(data))
    return _only(_webp(data)) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def is_canonical(store: bytes) -> bool:
    """Whether all that a signature of our making leaves uncovered in a manifest store is as it was written."""
    try:
        return _box_is_canonical(store, b"") == len(store)
    except (struct.error, ValueError):
        return False


def _only(found: Iterator[bytes]) -> bytes | None:
    """The one store of a file; a second one is one too many."""
    try:
        stores = list(found)
    except (struct.error, ValueError):
        return None
    return stores[0] if len(stores) == 1 else None


def _png(data: bytes) -> Iterator[bytes]:
    at = len(PNG_START)
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if name == b"caBX":
            content = data[at + 8 : at + 8 + size]
            (checksum,) = struct.unpack_from(">I", data, at + 8 + size)
            if checksum != zlib.crc32(name + content):
                raise ValueError("the checksum is wrong")
            yield content
        at += 12 + size


def _webp(data: bytes) -> Iterator[bytes]:
    at = 12
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"C2PA":
            yield data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _jpeg(data: bytes) -> Iterator[bytes]:
    """APP11 segments: "JP", a number of the box, a number of the part, then the box, whose head each part repeats."""
    at, parts = len(JPEG_START), list[bytes]()
    while True:
        marker, size = struct.unpack_from(">HH", data, at)
        if marker == 0xFFDA or marker >> 8 != 0xFF:
            break
        if marker == 0xFFEB:
            common, number, part = struct.unpack_from(">2sHI", data, at + 4)
            if common != b"JP" or number != BOX_NUMBER or part != len(parts) + 1:
                raise ValueError("the parts do not follow each other")
            content = data[at + 12 : at + 2 + size]
            parts.append(content if not parts else content[HEAD:])
        at += 2 + size
    if parts:
        yield b"".join(parts)


def _box_is_canonical(store: bytes, parent: bytes, at: int = 0) -> int:
    """Walk the superbox at ``at``; where it ends.

    Raises:
        ValueError: a length or a label is not as it was written.
    """
    size, kind, name_size, name_kind, box_type, switches = struct.unpack_from(">I4sI4s16sc", store, at)
    end, label_end = at + size, at + HEAD + name_size
    if kind != b"jumb" or name_kind != b"jumd" or end > len(store) or label_end > end:
        raise ValueError("no box of boxes")
    label, zero, rest = store[at + 2 * HEAD + 17 : label_end].partition(b"\0")
    named = zero and not rest and switches == REQUESTABLE and box_type[4:] == TYPE_END and NAMES.fullmatch(label)
    if not (switches < b"\x20" if parent == ASSERTIONS else named):  # the rest of an assertion's head is hashed with it
        raise ValueError("a label nobody gives")
    inner = label_end
    while inner < end:
        inner_size, inner_kind = struct.unpack_from(">I4s", store, inner)
        if inner_size < HEAD or inner + inner_size > end:
            raise ValueError("a box that reaches out of its box")
        if inner_kind == b"jumb":
            inner = _box_is_canonical(store, label, inner)
        else:
            if label == SIGNATURE and not _padded(store[inner + HEAD : inner + inner_size]):
                raise ValueError("padding that is none")
            inner += inner_size
    if inner != end:
        raise ValueError("a box that is not full")
    return end


def _padded(signature: bytes) -> bool:
    """Whether a signature's padding is zeros, as many as it says."""
    found = PADDING.search(signature)
    if found is None:
        return False
    head = signature[found.start() + 4 : found.start(1)]
    said = head[0] - 0x40 if len(head) == 1 else int.from_bytes(head[1:], "big")
    return said == len(found[1])
