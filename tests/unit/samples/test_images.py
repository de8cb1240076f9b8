from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from celeriac import Fail, File
from celeriac.errors import InvalidArgumentsError
from celeriac.samples.images import MOST_PIXELS, grayscale, thumbnail

ORIENTATION = 0x0112
GPS = 0x8825


def drawn(
    kind: str = "PNG", size: tuple[int, int] = (80, 60), mode: str = "RGB", **how: Any
) -> bytes:
    out = io.BytesIO()
    picture = Image.linear_gradient("L").resize(size).convert(mode)
    picture.save(out, kind, **how)
    return out.getvalue()


def sent(data: bytes, name: str = "cat.png") -> File:
    return File.from_bytes(name, data)


def opened(file: File) -> Image.Image:
    with Image.open(io.BytesIO(file.read())) as picture:
        picture.load()
        return picture


def claimed_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says how large it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in parts)


@pytest.mark.parametrize(
    ("kind", "name", "content_type"),
    [
        ("PNG", "cat-40x30.png", "image/png"),
        ("JPEG", "cat-40x30.jpg", "image/jpeg"),
        ("WEBP", "cat-40x30.webp", "image/webp"),
        # A still picture has better formats than that of animations.
        ("GIF", "cat-40x30.png", "image/png"),
    ],
)
def test_a_thumbnail_keeps_proportions_and_format(kind: str, name: str, content_type: str) -> None:
    file = thumbnail(sent(drawn(kind), f"cat.{kind.lower()}"), width=40)

    assert (file.name, file.content_type) == (name, content_type)
    assert opened(file).size == (40, 30)


def test_filled_it_is_a_square_from_the_middle() -> None:
    assert opened(thumbnail(sent(drawn()), width=40, mode="fill")).size == (40, 40)


@pytest.mark.parametrize(("mode", "size"), [("fit", (80, 60)), ("fill", (60, 60))])
def test_nothing_is_enlarged(mode: Any, size: tuple[int, int]) -> None:
    assert opened(thumbnail(sent(drawn()), width=4096, mode=mode)).size == size


@pytest.mark.parametrize(
    ("width", "problem"),
    [(15, "greater"), (4097, "less"), (64.5, "valid integer"), ("64", "valid")],
)
def test_a_width_out_of_bounds_is_refused(width: Any, problem: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=problem):
        thumbnail.contract.check({"width": width})


def test_a_picture_is_shown_as_the_camera_was_held_and_tells_nothing_else() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[GPS] = {1: "N"}

    picture = opened(thumbnail(sent(drawn("JPEG", exif=exif)), width=60))

    assert picture.size == (60, 80)
    assert dict(picture.getexif()) == {}


def test_of_an_animation_the_first_picture_is_shown() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])

    picture = opened(thumbnail(sent(out.getvalue()), width=16))

    assert getattr(picture, "n_frames", 1) == 1
    assert picture.convert("RGB").getpixel((8, 8)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_any_colours_is_taken(mode: str) -> None:
    file = sent(drawn(mode=mode))

    assert opened(thumbnail(file, width=16)).width == 16
    assert opened(grayscale(file)).mode in ("L", "LA")


def test_a_picture_made_for_print_is_taken() -> None:
    assert opened(thumbnail(sent(drawn("JPEG", mode="CMYK")), width=16)).mode == "RGB"


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("JPEG", "L"), ("WEBP", "RGB")])
def test_no_colour_is_left(kind: str, mode: str) -> None:
    coloured = io.BytesIO()
    Image.new("RGB", (20, 20), "orange").save(coloured, kind)

    picture = opened(grayscale(sent(coloured.getvalue())))

    assert picture.mode == mode
    red, green, blue = picture.convert("RGB").getpixel((10, 10))  # type: ignore[misc] # of an RGB
    assert max(red, green, blue) - min(red, green, blue) <= 2


@pytest.mark.parametrize("size", [(8_000, 8_000), (12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_what_it_says_of_itself(size: tuple[int, int]) -> None:
    data = claimed_png(*size)
    assert len(data) < 200
    assert size[0] * size[1] > MOST_PIXELS

    for function in (thumbnail, grayscale):
        with pytest.raises(Fail, match=r"cat\.png has more than 50,000,000 pixels"):
            function(sent(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_truncated_picture_is_told_of(kind: str, share: float) -> None:
    data = drawn(kind, size=(300, 300), mode="RGB" if kind != "GIF" else "P")

    with pytest.raises(Fail, match=r"cat\.png is "):
        thumbnail(sent(data[: int(len(data) * share)]))


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"<svg/>", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"GIF89a", drawn("TIFF")],
)
def test_what_is_no_picture_is_told_of(data: bytes) -> None:
    with pytest.raises(Fail, match=r"cat\.png is "):
        grayscale(sent(data))
