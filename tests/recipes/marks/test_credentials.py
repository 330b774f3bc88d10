from __future__ import annotations

import datetime
import io
import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image

from tranh.engine.picture import encoded
from tranh.recipes.marks import framing
from tranh.recipes.marks.credentials import COMPOSED, MADE, MIMES, Manifest, read, signed
from tranh.recipes.marks.keyring import Keys, keys

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
PICTURE = Image.linear_gradient("L").resize((24, 16)).convert("RGB")


def made(kind: str, own: Keys, **options: Any) -> bytes:
    file = encoded(PICTURE, kind, {"prompt": "một hình tròn đỏ"}, source_type=MADE)
    return signed(file, kind, own, model="tranh-1", created=NOON, **options)


@pytest.mark.parametrize("kind", MIMES)
def test_what_is_signed_is_told_again(kind: str, own: Keys) -> None:
    file = made(kind, own, watermarked=True)
    found = read(file, MIMES[kind], own)
    assert found == Manifest(
        state="trusted",
        issuer="Tranh, keys of one installation",
        signer=found.signer if found else None,
        generator="Tranh",
        model="tranh-1",
        created="2026-11-21T12:00:00Z",
        actions=("c2pa.created", "c2pa.watermarked.unbound"),
        source_type=MADE,
    )
    assert len(file) < 4000 + len(encoded(PICTURE, kind, {})) and b"thumbnail" not in file


@pytest.mark.parametrize("kind", MIMES)
def test_pixels_and_texts_stay(kind: str, own: Keys) -> None:
    before = encoded(PICTURE, kind, {"prompt": "một hình tròn đỏ"})
    after = signed(before, kind, own, model="tranh-1", created=NOON)
    with Image.open(io.BytesIO(before)) as a, Image.open(io.BytesIO(after)) as b:
        assert a.tobytes() == b.tobytes() and a.info == b.info and a.getexif().tobytes() == b.getexif().tobytes()


def test_a_signer_nobody_knows_is_valid_and_not_trusted(own: Keys, tmp_path: Path) -> None:
    file = made("PNG", own)
    stranger = keys(tmp_path / "stranger")
    for who in (None, stranger):
        found = read(file, "image/png", who)
        assert found and found.state == "valid" and found.problems == ("signingCredential.untrusted",)
    (stranger.folder / "trusted").mkdir()
    (stranger.folder / "trusted" / "a.pem").write_text((own.folder / "authority.pem").read_text())
    found = read(file, "image/png", keys(stranger.folder))
    assert found and found.state == "trusted"


@pytest.mark.parametrize("kind", MIMES)
def test_an_edit_names_what_it_was_made_from(kind: str, own: Keys) -> None:
    first, foreign = made("PNG", own), encoded(PICTURE, "JPEG", {})
    found = read(made(kind, own, opened=[first, foreign]), MIMES[kind], own)
    assert found and found.state == "trusted" and found.actions == ("c2pa.opened", "c2pa.edited")
    assert found.source_type == COMPOSED
    assert found.ingredients == (("picture 1", "trusted"), ("picture 2", None))


def test_a_mark_that_was_tampered_with_stays_told_through_an_edit(own: Keys) -> None:
    broken = bytearray(made("PNG", own))
    broken[-20] ^= 1
    found = read(made("PNG", own, opened=[bytes(broken)]), "image/png", own)
    assert found and found.state == "trusted" and found.ingredients[0][1] == "invalid"


def test_a_kind_of_file_without_manifests_can_be_edited(own: Keys) -> None:
    out = io.BytesIO()
    PICTURE.save(out, "BMP")
    found = read(made("PNG", own, opened=[out.getvalue()]), "image/png", own)
    assert found and found.state == "trusted" and found.ingredients == (("picture 1", None),)


def test_no_manifest_is_none(own: Keys) -> None:
    for kind, mime in MIMES.items():
        assert read(encoded(PICTURE, kind, {}), mime, own) is None


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("kind", MIMES)
def test_one_flipped_bit_is_seen_wherever_it_is(kind: str, edited: bool, own: Keys) -> None:
    """Every region of the manifest, and places drawn at random over the file."""
    file = made(kind, own, opened=[made("PNG", own)] if edited else [])
    store = framing.manifest(file)
    assert store is not None
    start, rng = file.index(store[:40]), random.Random(kind)
    pad = file.index(b"\x63pad", start + len(store) - 1200)
    heads = [start + at for at in range(len(store)) if store[at : at + 4] == b"jumd"]
    places = {*range(start - 12, start + 60, 3), *range(pad, pad + 8), pad + 500, start + len(store) - 1}
    places |= {head + at for head in heads for at in (-12, 0, 4, 10, 20, 22)} | {0, len(file) - 1}
    places |= {rng.randrange(len(file)) for _ in range(40)}
    unseen = []
    for place in sorted(places):
        changed = bytearray(file)
        changed[place] ^= 1 << rng.randrange(8)
        found = read(bytes(changed), MIMES[kind], own)
        if found is None or found.state != "invalid":
            unseen.append((place - start, found and found.state))
    assert not unseen


def test_a_file_cut_short_or_grown_is_seen(own: Keys) -> None:
    for kind, mime in MIMES.items():
        file = made(kind, own)
        for changed in (file[:-1], file[: len(file) // 2], file + b"\0"):
            found = read(changed, mime, own)
            assert found is not None and found.state == "invalid", kind


def test_a_manifest_of_another_picture_is_seen(own: Keys) -> None:
    """The chunk moved to other pixels."""
    file = made("PNG", own)
    at = file.index(b"caBX") - 4
    chunk = file[at : at + 12 + int.from_bytes(file[at : at + 4], "big")]
    other = encoded(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG", {})
    found = read(other[:33] + chunk + other[33:], "image/png", own)
    assert found is not None and found.state == "invalid"


def test_nobody_is_asked(own: Keys) -> None:
    """A file that only names an address: a reader with its own settings goes there, ours does not."""
    asked: list[str] = []

    class Remember(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Remember)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/manifest"
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", own.chain.encode(), own.private.encode(), None))
        with c2pa.Builder({"claim_generator_info": [{"name": "somebody"}], "assertions": []}) as builder:
            builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA)
            builder.set_no_embed()
            builder.set_remote_url(address)
            out = io.BytesIO()
            builder.sign(signer, "image/png", io.BytesIO(encoded(PICTURE, "PNG", {})), out)
        assert address.encode() in out.getvalue()
        read(out.getvalue(), "image/png", own)
        assert asked == []
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader("image/png", io.BytesIO(out.getvalue()))
        assert asked == ["/manifest"]  # so the file would have led there
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", MIMES)
def test_the_store_is_found_in_its_file(kind: str, own: Keys) -> None:
    file = made(kind, own)
    store = framing.manifest(file)
    assert store is not None and store in file and framing.is_canonical(store)
    assert not framing.is_canonical(store + b"\0") and not framing.is_canonical(store[:-1])
    assert framing.manifest(encoded(PICTURE, kind, {})) is None


def test_what_is_no_picture_has_no_store() -> None:
    for data in (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8",
        b"\xff\xd8\xff\xeb",
        b"RIFF\0\0\0\0WEBP",
        b"RIFF" * 9,
        b"x" * 99,
    ):
        assert framing.manifest(data) is None
    assert not framing.is_canonical(b"") and not framing.is_canonical(b"\0" * 99)
