"""Sample tasks about pictures."""

from __future__ import annotations

import io
import struct
from pathlib import PurePath
from typing import Annotated, Literal

from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from celeriac import Fail, File, progress, task

# A file of some kilobytes can say that it is a picture of a terabyte: this many take 200 MB.
MOST_PIXELS = 50_000_000
# Fewer decoders are fewer ways in.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_QUALITY = 85
# What a decoder says of bytes that are broken, or lie about themselves.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, MemoryError)

Picture = Annotated[File, "image/*"]


@task(name="image.thumbnail")
def thumbnail(
    image: Picture,
    width: Annotated[int, Field(ge=16, le=4096, description="Pixels")] = 256,
    mode: Literal["fit", "fill"] = "fit",
) -> File:
    """Make a thumbnail.

    Keeps the proportions and never enlarges; with the mode fill it is a square, cut from the
    middle. Of an animation it shows the first picture.
    """
    progress(0, 3, "decoding")
    picture, kind = read_picture(image, at_most=width)
    progress(1, 3, "resizing")
    if mode == "fill":
        side = min(width, *picture.size)
        picture = ImageOps.fit(picture, (side, side))
    else:
        # As high as it likes: the width is what was asked for.
        picture.thumbnail((width, MOST_PIXELS), reducing_gap=3.0)
    progress(2, 3, "encoding")
    name = f"{PurePath(image.name).stem}-{picture.width}x{picture.height}"
    return write_picture(picture, name, kind=kind)


@task(name="image.grayscale")
def grayscale(image: Picture) -> File:
    """Take the colours out of a picture.

    Of an animation it shows the first picture.
    """
    progress(0, 2, "decoding")
    picture, kind = read_picture(image)
    gray = picture.convert("LA" if "A" in picture.getbands() else "L")
    # It described colours that are not there any more.
    gray.info.pop("icc_profile", None)
    progress(1, 2, "encoding")
    return write_picture(gray, f"{PurePath(image.name).stem}-gray", kind=kind)


def read_picture(image: File, *, at_most: int | None = None) -> tuple[Image.Image, str]:
    """Return a picture the right way up, in colours that every format has, and its format.

    Args:
        image: The file.
        at_most: As wide as anybody wants it; a JPEG that is much wider is read smaller.

    Raises:
        Fail: It is no picture, is broken, or has too many pixels.
    """
    try:
        with image.open() as file, Image.open(file, formats=FORMATS) as found:
            # The size stands in the first bytes: nothing has been unpacked so far.
            _check_size(image, found)
            kind = found.format or "PNG"
            if at_most is not None:
                found.draft("RGB", (at_most * 2, at_most * 2))
            # As its camera was held, which is told beside the pixels.
            upright = ImageOps.exif_transpose(found)
            profile = found.info.get("icc_profile")
    except UnidentifiedImageError:
        raise Fail(f"{image.name} is no picture that can be read: {_formats()}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Fail(_too_large(image)) from None
    except _BROKEN as error:
        raise Fail(f"{image.name} is broken: {error}") from None
    return _in_colours(upright, kind, profile), kind


def write_picture(picture: Image.Image, name: str, *, kind: str) -> File:
    """Return a picture as a file: a PNG, unless its format is made for photographs."""
    ending = {"JPEG": "jpg", "WEBP": "webp"}.get(kind, "png")
    # Nothing else of what the original told goes along: not where it was taken, nor when.
    told = {"icc_profile": picture.info["icc_profile"]} if "icc_profile" in picture.info else {}
    out = io.BytesIO()
    picture.save(out, kind if ending != "png" else "PNG", quality=_QUALITY, **told)
    return File.from_bytes(f"{name}.{ending}", out.getvalue())


def _check_size(image: File, found: Image.Image) -> None:
    if found.width * found.height > MOST_PIXELS:
        raise Fail(_too_large(image))


def _too_large(image: File) -> str:
    return f"{image.name} has more than {MOST_PIXELS:,} pixels"


def _formats() -> str:
    return f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]} are known"


def _in_colours(upright: Image.Image, kind: str, profile: bytes | None) -> Image.Image:
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    picture = upright.convert("RGBA" if has_alpha and kind != "JPEG" else "RGB")
    # A profile fits the colours it was made for, and print's are converted by a rule of thumb.
    is_kept = profile and upright.mode in ("RGB", "RGBA")
    picture.info = {"icc_profile": profile} if is_kept else {}
    return picture
