"""What a picture's file tells of where it comes from: settings, C2PA manifest, IPTC source type, watermark.

It asks no network and changes nothing. A file that is no picture is refused in words, whatever its bytes are.
"""

from __future__ import annotations

import io
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import c2pa
from PIL import Image

from tranh.data.decode import CONSEQUENCES, FORMATS, BrokenPicture, decode
from tranh.data.place import MOST_BYTES
from tranh.engine.picture import EXIF_IFD
from tranh.recipes.marks import watermark
from tranh.recipes.marks.credentials import Manifest, read, seems_signed
from tranh.recipes.marks.keyring import Keys, known_keys
from tranh.recipes.marks.others import Settings, settings_in, source_type_in
from tranh.recipes.marks.watermark import Reading
from tranh.types import TranhError

MOST_PIXELS = 2**25
"""33 million: larger pictures are refused by what their header says."""

SYNTHETIC = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
    "algorithmicMedia",
)


@dataclass(frozen=True)
class Found:
    """What was found in one picture.

    Attributes:
        name: the file's, or None of bytes.
        format, width, height: the picture's; "" and 0 where even these cannot be read.
        damage: why its pixels cannot be unpacked, or None. Such a file is only looked into because it was signed.
        program, settings: who wrote settings into it, and what they say; both None where there are none.
        source_type: the IPTC DigitalSourceType in its XMP, or None.
        manifest: its C2PA manifest, or None.
        watermark: what the detector says, or None where this installation has no key yet.
    """

    name: str | None
    format: str
    width: int
    height: int
    damage: str | None
    program: str | None
    settings: Settings | None
    source_type: str | None
    manifest: Manifest | None
    watermark: Reading | None

    @property
    def state(self) -> str:
        """Of the manifest: ``trusted``, ``valid``, ``invalid`` or ``not_present``."""
        return self.manifest.state if self.manifest else "not_present"

    @property
    def made_by_model(self) -> bool:
        """Whether anything tells that a model made the picture, or a part of it. Nothing found says nothing."""
        says = [self.source_type]
        if self.manifest and self.manifest.state != "invalid":
            says.append(self.manifest.source_type)
        told = any(says_it.rpartition("/")[2] in SYNTHETIC for says_it in says if says_it)
        return told or self.settings is not None or bool(self.watermark and self.watermark.found)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        mark = self.watermark and asdict(self.watermark) | {"found": self.watermark.found, "threshold": watermark.RATE}
        return asdict(self) | {
            "made_by_model": self.made_by_model,
            "manifest": asdict(self.manifest) if self.manifest else None,
            "watermark": mark,
        }

    def openai(self, created_at: int | None = None) -> dict[str, Any]:
        """The reply of OpenAI's ``content_provenance_checks``.

        Its ``results`` hold what its types allow, a result for C2PA; what else was found stands beside them.

        Args:
            created_at: when it was checked, in unix seconds; None for now.
        """
        manifest = self.manifest
        told = (
            {"issuer": manifest.issuer, "model": manifest.model, "generated_at": manifest.created} if manifest else {}
        )
        outcome = "detected" if self.state in ("trusted", "valid") else "not_detected"
        c2pa_result = {"type": "c2pa", "outcome": outcome, "validation_state": self.state}
        ours = self.as_dict()
        return {
            "object": "content_provenance_check",
            "created_at": int(time.time()) if created_at is None else created_at,
            "results": [c2pa_result | {name: value for name, value in told.items() if value is not None}],
        } | {name: ours[name] for name in ("made_by_model", "settings", "program", "source_type", "watermark")}


def provenance(source: Path | str | bytes, keys: Keys | None = None) -> Found:
    """What a picture tells of where it comes from.

    Args:
        source: a file's path, or its bytes.
        keys: whose watermark is looked for and whose authorities are trusted; None for this installation's, if it has
            any (none are made).

    Raises:
        TranhError: it cannot be read, or is no whole picture; the message says what is wrong.
    """
    if isinstance(source, bytes):
        return _found(source, None, keys or known_keys())
    path = Path(source)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TranhError(
                f"{path}: the file has {path.stat().st_size >> 20} MiB; at most {MOST_BYTES >> 20} are read"
            )
        return _found(path.read_bytes(), str(path), keys or known_keys())
    except OSError as error:
        raise TranhError(f"{path} cannot be read: {error.strerror}") from error
    except BrokenPicture as error:
        raise TranhError(f"{path}: {error}") from error


def settings_of(data: bytes) -> tuple[str, Settings] | None:
    """Who wrote settings into a picture, and what they say; None where there are none or it is no picture."""
    _, info, exif = _texts(data)
    return settings_in(info, exif)


def _found(data: bytes, name: str | None, keys: Keys | None) -> Found:
    image, damage = _pixels(data)
    format, info, exif = _texts(data)
    settings = settings_in(info, exif)
    mime = Image.MIME.get(format, "image/png" if damage else "")
    return Found(
        name=name,
        format=format,
        width=image.width if image else 0,
        height=image.height if image else 0,
        damage=damage,
        program=settings[0] if settings else None,
        settings=settings[1] if settings else None,
        source_type=source_type_in(info),
        manifest=read(data, mime, keys) if mime in c2pa.Reader.get_supported_mime_types() else None,
        watermark=watermark.detect(image, keys.mark) if keys and image else None,
    )


def _pixels(data: bytes) -> tuple[Image.Image | None, str | None]:
    """The picture, or what is wrong with one that was signed: that it was damaged since is worth telling.

    Raises:
        BrokenPicture: there is no whole picture, and no manifest either.
    """
    try:
        return decode(data, most_pixels=MOST_PIXELS).image, None
    except BrokenPicture as error:
        if error.kind == "too large" or not seems_signed(data):
            raise
        return None, str(error)


def _texts(data: bytes) -> tuple[str, dict[str, Any], dict[int, Any]]:
    """A picture's format, its texts and its EXIF; what cannot be read of them is left out."""
    format, info, exif = "", {}, {}
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            format, info = str(image.format), {str(key): value for key, value in image.info.items()}
            tags = image.getexif()
            exif = {**tags, EXIF_IFD: dict(tags.get_ifd(EXIF_IFD))}
    except (*CONSEQUENCES, Image.DecompressionBombError):
        pass
    return format, info, exif
