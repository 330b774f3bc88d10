"""Files of the server's pictures: what a model made says so in every format, and what an edit keeps stays as it was."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image
from running import running
from stubs import Able

from tranh.recipes import marks
from tranh.serve.app import Settings
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


def written(writer: Marking, image: Image.Image, order: Order) -> list[bytes]:
    """A finished picture in every format."""
    data = writer.encode(image, SETTINGS, order)
    file = Image.open(io.BytesIO(data)).convert("RGB")
    return [data, *(writer.rewrite(file, SETTINGS, kind, 90, order, True) for kind in ("JPEG", "WEBP"))]


def test_what_was_drawn_says_so(keys: marks.Keys) -> None:
    writer, _ = marking(keys)
    order = Order("generate", "stub", {"prompt": "a cat"})
    for file in written(writer, noise(), order):
        found = marks.provenance(file, keys)
        assert found.manifest is not None and found.manifest.actions == ("c2pa.created", "c2pa.watermarked.unbound")
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


def test_an_edit_says_what_it_was_made_from_in_every_format(keys: marks.Keys) -> None:
    first, _ = marking(keys)
    drawn = first.encode(noise(), SETTINGS, Order("generate", "stub", {"prompt": "a cat"}))
    writer, (image, other) = marking(keys, drawn, as_png(noise()))
    order = Order("img2img", "stub", {"image": image, "prompt": "a cat"})
    for file in written(writer, noise(), order):
        found = marks.provenance(file, keys)
        assert found.manifest is not None and found.state == "trusted" and "composite" in str(found.source_type)
        assert "composite" in str(found.manifest.source_type)
        assert found.manifest.actions == ("c2pa.opened", "c2pa.edited", "c2pa.watermarked.unbound")
        assert found.manifest.ingredients == (("picture 1", "trusted"),)
    preview = marks.provenance(writer.rewrite(noise(), {}, "JPEG", 90, order, False), keys)
    assert preview.manifest is not None and preview.manifest.actions == ("c2pa.opened", "c2pa.edited")

    walk = {"keys": [{"image": other}, "a dog", {"image": image}, {"image": other}]}
    found = marks.provenance(writer.encode(noise(), SETTINGS, Order("animate", "stub", walk)), keys)
    assert found.manifest is not None and found.manifest.ingredients == (("picture 1", None), ("picture 2", "trusted"))
    assert "composite" in str(found.source_type)
    plain = Order("animate", "stub", {"keys": ["a cat", image]})
    assert "composite" not in str(marks.provenance(writer.encode(noise(), SETTINGS, plain), keys).source_type)


def test_pictures_over_http_say_so_too(keys: marks.Keys) -> None:
    marker, _ = marking(keys)
    with running([Able()], Settings(rewrite=marker.rewrite)) as server:
        marker.read = server.desk.store.album.blobs.read
        said = {"prompt": (None, "a cat"), "output_format": (None, "webp"), "image": ("x", as_png(noise(64)))}
        where = f"{server.url}/v1/images/edits"
        reply = httpx2.post(where, files=said, timeout=30).json()["data"][0]
        linked = httpx2.post(where, files=said | {"response_format": (None, "url")}, timeout=30).json()["data"][0]
        for file in (base64.b64decode(reply["b64_json"]), httpx2.get(linked["url"]).content):
            found = marks.provenance(file, keys)
            assert found.format == "WEBP" and found.manifest is not None
            assert found.manifest.actions[:2] == ("c2pa.opened", "c2pa.edited")


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
