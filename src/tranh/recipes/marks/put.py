"""The one function that marks a picture when it is written or sent: watermark, then settings, then signature.

It does not know who asked for the picture. In this order because each covers what stands before it: the file's texts
are beside the marked pixels, and the signature is over both.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from tranh.engine.picture import encoded
from tranh.recipes.marks import watermark as pixels
from tranh.recipes.marks.credentials import COMPOSED, MADE, signed
from tranh.recipes.marks.keyring import Keys

PUBLIC = frozenset({"edit", "hash", "language", "model", "prior", "sampler"})
"""Settings in words that say nothing of what was asked for; of all others only numbers stay in a private picture."""


def marked(
    image: Image.Image,
    settings: Mapping[str, Any],
    keys: Keys,
    *,
    kind: str = "PNG",
    opened: Sequence[bytes] = (),
    mask: Image.Image | None = None,
    private: bool = False,
    watermark: bool = True,
    carried: bool = False,
    quality: int | None = None,
    created: datetime.datetime | None = None,
) -> bytes:
    """A picture as the bytes of a file that says, in three ways, that a model made it.

    The pixels are the same every time; a signature is not (its salts are random), nor is the time it tells.

    Args:
        settings: what repeats the picture, as :class:`tranh.recipes.pictures.Pictures` has it; JSON values.
        keys: of this installation, see :func:`tranh.recipes.marks.keyring.keys`.
        kind: ``PNG``, ``WEBP`` or ``JPEG``.
        opened: files the picture was made from, the one that was edited first; without any it was made of words.
        mask: black where the edited picture shows through and no pixel may change; None for all drawn anew.
        private: leave out the prompt, and all else in words that tells what was asked for.
        watermark: put the invisible mark into the pixels; without it they are the model's own.
        carried: that mark is in the pixels already: it is told, and not put in again.
        quality: 0 to 100, of a JPEG or a WebP that may lose; None for a JPEG of 95 or a WebP without loss.
        created: when it was drawn; None for now.

    Raises:
        TranhError: the settings are longer than a file can hold, or the keys sign no more.
    """
    kept = without_words(settings) if private else settings
    drawn = pixels.embed(image, keys.mark, mask) if watermark and not carried else image
    file = encoded(drawn, kind, kept, source_type=COMPOSED if opened else MADE, quality=quality)
    model = str(settings.get("model") or "Tranh")
    when = created or datetime.datetime.now(datetime.UTC)
    return signed(file, kind, keys, model=model, created=when, opened=opened, watermarked=watermark or carried)


def without_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that do not tell what was asked for."""
    plain = (bool, int, float, type(None))
    return {name: value for name, value in settings.items() if name in PUBLIC or isinstance(value, plain)}
