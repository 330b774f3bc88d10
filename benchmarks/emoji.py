"""A captioned folder from the glyphs of an emoji font, for a run on pictures that nobody tuned for.

    apt install fonts-noto-color-emoji unicode-cldr-core
    python benchmarks/emoji.py emoji
    tranh train unclip data=emoji --minutes 30

English names come from ``unicodedata``, Vietnamese ones from Unicode's CLDR annotations where they hold one.
"""

from __future__ import annotations

import json
import sys
import unicodedata
import xml.etree.ElementTree as xml
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
NAMES = Path("/usr/share/unicode/cldr/common/annotations/vi.xml")
BITMAP = 109
"""The only size whose bitmaps the font holds."""
SIDE = 136


def vietnamese() -> dict[str, str]:
    """Character -> its name in Vietnamese (what a screen reader says)."""
    names = {}
    for one in xml.parse(NAMES).iter("annotation"):
        if one.get("type") == "tts" and one.text:
            names[one.get("cp", "")] = one.text
    return names


def drawn(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    """The glyph on white, or None where the font has none."""
    image = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
    ImageDraw.Draw(image).text((SIDE // 2, SIDE // 2), character, font=font, anchor="mm", embedded_color=True)
    box = image.getbbox()
    if box is None or box[2] - box[0] < SIDE // 4:
        return None
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def main() -> None:
    """Write the pictures and their ``metadata.jsonl``."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "emoji")
    out.mkdir(parents=True, exist_ok=True)
    font, spoken, lines = ImageFont.truetype(FONT, BITMAP), vietnamese(), []
    for point in (*range(0x203C, 0x3300), *range(0x1F000, 0x1FB00)):
        character = chr(point)
        name = unicodedata.name(character, "").lower()
        if not name or name.startswith(("regional", "emoji modifier", "cjk")):
            continue
        image = drawn(font, character)
        if image is None:
            continue
        image.save(out / f"{point:05x}.png")
        line = {"file_name": f"{point:05x}.png", "text_en": name}
        lines.append(line | ({"text_vi": spoken[character]} if character in spoken else {}))
    (out / "metadata.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines), "utf-8")
    told = sum("text_vi" in line for line in lines)
    print(f"{len(lines)} pictures in {out}, {told} of them with a Vietnamese name")


if __name__ == "__main__":
    main()
