"""Pictures on disk with the settings that made them inside: PNG, WebP and JPEG, written whole or not at all.

It does not know what the settings mean beyond the few names that other programs also show.
"""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from tranh.files import write_bytes
from tranh.types import TranhError

SUFFIXES = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""What a file may be called, and the format (Pillow's name) it is then written in."""

OPTIONS: Mapping[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4},  # a hundredth or two more bytes than at most, in an eighth of the time
    "WEBP": {"lossless": True, "method": 4},
    "JPEG": {"quality": 95, "subsampling": 0},
}
KEY, TEXT = "tranh", "parameters"
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
UNICODE = b"UNICODE\0"
SETTINGS_LIMIT = 10_000
"""Bytes of JSON: a segment of a JPEG holds 64 KiB, and XMP writes a quotation mark as six letters."""

SHOWN = {"steps": "Steps", "sampler": "Sampler", "guidance": "CFG scale", "seed": "Seed"}
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""{}/></rdf:RDF></x:xmpmeta>'
)
SETTINGS_ATTRIBUTE = 'tranh:settings="'
XMP_SETTINGS = ' xmlns:tranh="urn:tranh:1" ' + SETTINGS_ATTRIBUTE + '{}"'
XMP_SOURCE = ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="{}"'
XMP_KEY = "XML:com.adobe.xmp"


def check_target(path: Path) -> str:
    """The format a picture will have at ``path``; to be asked before any work is done for it.

    Raises:
        TranhError: the folder does not exist, ``path`` is a folder, or its suffix is no picture's.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None and not path.is_dir():
        raise TranhError(f"{path} has no picture's suffix; allowed: {', '.join(SUFFIXES)}")
    check_folder(path)
    return str(kind)


def check_folder(path: Path) -> None:
    """Refuse a place where no file can be written.

    Raises:
        TranhError: the folder does not exist, or ``path`` is one.
    """
    if path.is_dir():
        raise TranhError(f"{path} is a folder: name a file in it, for example {path / 'out.png'}")
    if not path.parent.is_dir():
        raise TranhError(f"the folder {path.parent} does not exist: make it first (mkdir -p {path.parent})")


def describe(settings: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Settings as the text that most picture programs show: prompt, negative prompt, one line of figures."""
    lines = [_line(settings.get("prompt", ""))]
    if settings.get("negative_prompt"):
        lines.append(f"Negative prompt: {_line(settings['negative_prompt'])}")
    figures = [f"{label}: {settings[name]}" for name, label in SHOWN.items() if settings.get(name) is not None]
    figures.append(f"Size: {size[0]}x{size[1]}")
    if settings.get("hash"):
        figures.append(f"Model hash: {str(settings['hash'])[:10]}")
    if settings.get("model"):
        figures.append(f"Model: {settings['model']}")
    return "\n".join([*lines, ", ".join(figures)])


def _line(text: object) -> str:
    return " ".join(str(text).split())


def xmp(settings: str | None = None, source_type: str | None = None) -> str:
    """An XMP packet of settings as JSON and of IPTC's word for how a picture came to be, as far as each is given."""
    told = [(XMP_SETTINGS, settings), (XMP_SOURCE, source_type)]
    return XMP.format("".join(said.format(html.escape(value)) for said, value in told if value is not None))


def save_picture(image: Image.Image, path: Path, settings: Mapping[str, Any]) -> Path:
    """Write a picture with its settings inside, see :func:`encoded`.

    Returns:
        ``path``.

    Raises:
        TranhError: the place or its suffix will not do, or the settings are longer than a file can hold.
    """
    path = Path(path)
    write_bytes(path, encoded(image, check_target(path), settings))
    return path


def encoded(
    image: Image.Image,
    kind: str,
    settings: Mapping[str, Any],
    *,
    source_type: str | None = None,
    quality: int | None = None,
) -> bytes:
    """A picture as the bytes of a file, with its settings inside.

    A PNG keeps them as two iTXt chunks in UTF-8: ``parameters``, a text for people and other programs, and ``tranh``,
    all of them as JSON. WebP and JPEG keep the text as EXIF UserComment and the JSON in XMP.

    Args:
        kind: ``PNG``, ``WEBP`` or ``JPEG``.
        settings: JSON values; ``prompt negative_prompt steps sampler guidance seed model hash`` are also shown as text.
        source_type: an IPTC DigitalSourceType to tell in XMP, as its address.
        quality: 0 to 100, of a JPEG or a WebP that may lose; None for a JPEG of 95 or a WebP without loss.

    Raises:
        TranhError: the settings are longer than a file can hold.
    """
    # Half a surrogate pair (bytes of a command line that are not UTF-8) must not stop a finished picture.
    value = json.dumps(dict(settings), ensure_ascii=False).encode("utf-8", "replace").decode()
    text = describe(settings, image.size).encode("utf-8", "replace").decode()
    if len(value.encode()) > SETTINGS_LIMIT:
        raise TranhError(f"the settings have {len(value.encode())} bytes; {SETTINGS_LIMIT} fit into a picture.")
    options = dict(OPTIONS[kind])
    if quality is not None and kind != "PNG":
        options |= {"quality": quality} | ({"lossless": False} if kind == "WEBP" else {})
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt(TEXT, text)
        info.add_itxt(KEY, value)
        if source_type is not None:
            info.add_itxt(XMP_KEY, xmp(source_type=source_type))
        options["pnginfo"] = info
    else:
        exif = Image.Exif()
        exif.endian = ">"  # the byte order that other programs expect in a UserComment
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = UNICODE + text.encode("utf-16-be")
        options |= {"exif": exif.tobytes(), "xmp": xmp(value, source_type).encode()}
    out = io.BytesIO()
    image.convert("RGB").save(out, kind, **options)
    return out.getvalue()


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that :func:`save_picture` put into a picture.

    Raises:
        TranhError: it is no picture, or holds no settings of ours.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=sorted(set(SUFFIXES.values()))) as image:
            value = settings_text(image.info)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise TranhError(f"{path} cannot be read as PNG, WebP or JPEG ({error}).") from error
    try:
        settings = json.loads(value) if value is not None else None
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise TranhError(f"{path} holds no settings of Tranh: it was made or saved again by another program.")
    return settings


def settings_text(info: Mapping[Any, Any]) -> str | None:
    """The JSON of :func:`encoded` among the texts of a file (Pillow's ``image.info``), or None."""
    if KEY in info:
        return str(info[KEY])
    packet = info.get("xmp", b"")
    packet = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    value, closed, _ = packet.partition(SETTINGS_ATTRIBUTE)[2].partition('"')
    return html.unescape(value) if closed else None
