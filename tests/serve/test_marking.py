"""Files of the server's pictures: what a model made says so in every format, and what an edit keeps stays as it was."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tranh.recipes import marks
from tranh.serve.marking import Marking
from tranh.serve.orders import Order
from tranh.serve.uploads import as_png

SETTINGS = {"prompt": "a cat", "seed": 3, "model": "stub"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> marks.Keys:
    return marks.keys(tmp_path_factory.mktemp("keys"))


def noise(side: int = 128) -> Image.Image:
    return Image.effect_noise((side, side), 60).convert("RGB")


def marking(keys: marks.Keys, *files: bytes) -> tuple[Marking, list[str]]:
    kept = {hashlib.sha256(data).hexdigest(): data for data in files}
    return Marking(keys, kept.__getitem__), list(kept)


def test_what_was_drawn_says_so(keys: marks.Keys) -> None:
    writer, _ = marking(keys)
    data = writer.encode(noise(), SETTINGS, Order("generate", "stub", {"prompt": "a cat"}))
    for file in (
        data,
        *(writer.rewrite(Image.open(io.BytesIO(data)), SETTINGS, kind, 90) for kind in ("JPEG", "WEBP")),
    ):
        found = marks.provenance(file, keys)
        assert found.made_by_model and found.state in ("valid", "trusted")
        assert found.settings is not None and found.settings["seed"] == 3
        assert found.watermark is not None and found.watermark.found


def test_an_edit_marks_only_what_it_drew(keys: marks.Keys) -> None:
    picture, hole = noise(), Image.new("L", (128, 128))
    hole.paste(255, (0, 0, 64, 128))
    made = picture.copy()
    made.paste((90, 80, 70), (0, 0, 64, 128))
    writer, (image, mask) = marking(keys, as_png(picture), as_png(hole))
    data = writer.encode(made, SETTINGS, Order("inpaint", "stub", {"image": image, "mask": mask, "prompt": "a cat"}))
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (pixels[:, 64:] == np.asarray(picture)[:, 64:]).all() and (pixels != np.asarray(made)).any()
    found = marks.provenance(data, keys)
    assert found.manifest is not None and found.source_type is not None and "composite" in found.source_type

    wide = Image.new("RGB", (192, 192))
    wide.paste(picture, (32, 32))
    order = Order("outpaint", "stub", {"image": image, "prompt": "a cat", "extend": [0.25, 0.25, 0.25, 0.25]})
    pixels = np.asarray(Image.open(io.BytesIO(writer.encode(wide, SETTINGS, order))).convert("RGB"))
    assert (pixels[32:160, 32:160] == np.asarray(picture)).all()


def test_the_secret_of_links_is_kept_and_hidden(tmp_path: Path) -> None:
    from tranh.serve.secret import secret
    from tranh.types import TranhError

    first = secret(tmp_path)
    assert first == secret(tmp_path) and len(first) == 32 and (tmp_path / "secret").stat().st_mode & 0o077 == 0
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(TranhError, match="damaged"):
        secret(tmp_path)
    with pytest.raises(TranhError, match="cannot be written"):
        secret(tmp_path / "none")
