"""Any bytes are a picture or a BrokenPicture with a reason; every mode that Pillow writes is shown as it was meant."""

import io
import struct
import zlib

import data_toys as lay
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tranh.data.decode import MOST_PIXELS, BrokenPicture, decode


def saved(image, format="PNG", **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def pixels(data, **options):
    return np.asarray(decode(data, **options).image, dtype=int)


PICTURE = lay.pixels(3)
RGB = np.asarray(PICTURE, dtype=int)


@pytest.mark.parametrize(
    ("mode", "format", "how", "near"),
    [
        ("RGB", "PNG", (), 0),
        ("L", "PNG", ("grey",), None),
        ("1", "PNG", ("black and white",), None),
        ("P", "PNG", ("palette",), 60),
        ("P", "GIF", ("palette",), 60),
        ("CMYK", "JPEG", ("cmyk",), 12),
        ("CMYK", "TIFF", ("cmyk",), 1),
        ("YCbCr", "TIFF", ("ycbcr",), 3),
        ("RGBA", "PNG", ("alpha",), 0),
        ("RGB", "BMP", (), 0),
        ("RGB", "PPM", (), 0),
        ("RGB", "AVIF", (), 60),
        ("RGB", "JPEG2000", (), 1),
    ],
)
def test_every_mode(mode, format, how, near):
    image = PICTURE.convert(mode)
    came = decode(saved(image, format))
    assert came.image.mode == "RGB" and came.image.size == PICTURE.size
    assert (came.format, came.changed) == (format, how)
    meant = RGB if near is not None else np.asarray(image.convert("RGB"), dtype=int)
    assert np.abs(np.asarray(came.image, dtype=int) - meant).max() <= (near or 0)


def test_16_bits_by_their_upper_byte():
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    assert np.abs(pixels(saved(Image.fromarray(values)))[..., 0] - values / 257).max() <= 0.5
    dark = np.full((8, 8), 200, np.uint16)  # nearly black, and no white
    assert pixels(saved(Image.fromarray(dark))).max() == 1


@pytest.mark.parametrize(("values", "white"), [((0.0, 1.0), 255), ((0.0, 255.0), 255), ((-3.0, 9.0), 255)])
def test_floats_by_their_range(values, white):
    image = Image.fromarray(np.resize(np.float32(values), (4, 4)))
    came = pixels(saved(image, "TIFF"))
    assert came.min() == 0 and came.max() == white


def test_floats_that_are_no_numbers():
    with pytest.raises(BrokenPicture, match="not finite"):
        decode(saved(Image.fromarray(np.float32([[0, np.nan], [1, 2]])), "TIFF"))


def test_what_is_seen_through():
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert (pixels(saved(clear)) == 255).all()
    assert (pixels(saved(clear), background=(1, 2, 3))[0, 0] == (1, 2, 3)).all()
    keyed = Image.new("RGB", (4, 4), (9, 9, 9))
    assert (pixels(saved(keyed, transparency=(9, 9, 9))) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_as_pillow_does(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(PICTURE, exif=exif)
    meant = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    came = decode(data)
    assert (np.asarray(came.image) == np.asarray(meant)).all()
    assert came.changed == (("turned",) if orientation > 1 else ())


def test_a_damaged_exif_costs_no_picture():
    data = saved(PICTURE, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(data).image.size == PICTURE.size


def test_the_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        came = decode(saved(frames[0], format, save_all=True, append_images=frames[1:]))
        assert "first frame" in came.changed and np.asarray(came.image)[0, 0].argmax() == 0


def test_a_box_is_cut_out_of_the_upright_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = PICTURE.transpose(Image.Transpose.ROTATE_270)
    came = decode(saved(PICTURE, exif=exif), box=(3, 4, 10, 12)).image
    assert (np.asarray(came) == np.asarray(upright.crop((3, 4, 13, 16)))).all()
    assert decode(saved(PICTURE), box=(30, 20, 500, 500)).image.size == (10, 12)
    with pytest.raises(BrokenPicture, match="outside the picture of 40 x 32"):
        decode(saved(PICTURE), box=(40, 0, 5, 5))


def test_a_jpeg_is_unpacked_no_smaller_than_asked():
    data = saved(lay.pixels(1, (400, 300)), "JPEG")
    assert decode(data, at_least=64).image.size == (100, 75) and "smaller" in decode(data, at_least=64).changed
    assert decode(data, at_least=151).image.size == (400, 300) and not decode(data, at_least=151).changed


# What is refused


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width, height, *more):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IEND", b"")


PNG, JPEG = saved(PICTURE), saved(PICTURE, "JPEG")
TEXT_BOMB = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 2**25))
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "no picture"),
        (EPS, "no picture"),
        (bytes(2**26 + 1), "too large"),
        (png_of(60000, 60000, chunk(b"IDAT", zlib.compress(bytes(1000)))), "too large"),
        (png_of(8, 8, TEXT_BOMB, chunk(b"IDAT", b"")), "damaged"),
        (JPEG[: len(JPEG) // 2], "cut short"),
        (PNG[:-60], "cut short"),
        (PNG[:60] + b"\0\0\0\0" + PNG[64:], "damaged"),
    ],
    ids=["empty", "html", "eps", "bytes", "pixels", "text bomb", "half a jpeg", "half a png", "checksum"],
)
def test_what_is_refused(data, kind):
    with pytest.raises(BrokenPicture) as error:
        decode(data)
    assert error.value.kind == kind, error.value


def test_the_cap_is_the_callers():
    assert MOST_PIXELS < 2**27
    with pytest.raises(BrokenPicture, match=r"40 x 32 pixels; at most 0.001 million"):
        decode(PNG, most_pixels=1000)


FILES = [
    PNG, JPEG, saved(PICTURE, "GIF"), saved(PICTURE, "WEBP"), saved(PICTURE, "TIFF", compression="tiff_lzw"),
    saved(PICTURE, "BMP"), saved(PICTURE, "PPM"), saved(PICTURE, "AVIF"), saved(PICTURE, "JPEG2000"),
    saved(PICTURE.convert("CMYK"), "JPEG"), saved(Image.fromarray(np.eye(9, dtype=np.uint16))),
    saved(PICTURE, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
]  # fmt: skip


@st.composite
def mutations(draw):
    """A valid file with a few bytes other, cut, doubled or put in."""
    data = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.integers(0, 3))
        if what == 0 and data:
            data[at] = draw(st.integers(0, 255))
        elif what == 1:
            del data[at : at + draw(st.integers(1, 200))]
        elif what == 2:
            data[at:at] = draw(st.binary(max_size=8))
        else:
            data[at:at] = data[at : at + 40]
    return bytes(data)


def test_an_avif_whose_index_is_damaged_is_a_broken_one():
    """Its decoder raises RuntimeError, which no other of Pillow's does."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(out, "AVIF")
    whole, kinds = out.getvalue(), set()
    for place in range(20, 320):
        data = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        try:
            decode(data, most_pixels=2**20)
        except BrokenPicture as error:
            kinds.add(error.kind)
    assert "damaged" in kinds


@given(mutations())
def test_mutations_are_pictures_or_broken_ones(data):
    try:
        came = decode(data, most_pixels=2**20)
    except BrokenPicture as error:
        assert error.kind and str(error)
    else:
        assert came.image.mode == "RGB" and np.asarray(came.image).size


@given(st.binary(max_size=200))
def test_so_are_bytes(data):
    with pytest.raises(BrokenPicture):
        decode(data)
