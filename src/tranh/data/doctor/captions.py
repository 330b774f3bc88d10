"""What can be wrong with the captions of one picture: each check is a function of the text alone.

It knows no picture and no other caption; what only shows among many is found in ``balance``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tranh.data.clean import MAIL, TAG, URL
from tranh.data.doctor.words import words_of
from tranh.data.item import SUFFIXES, Caption
from tranh.text import normalise
from tranh.text.tokenizer import Tokenizer

NO_VALUE = frozenset(("nan", "none", "null", "n/a", "#n/a", "<na>", "nil", "undefined", "[]", "{}", '""', "''"))
PLACEHOLDERS = frozenset(
    (
        "untitled", "no title", "image", "an image", "the image", "picture", "a picture", "photo", "a photo", "caption",
        "no caption", "caption here", "text", "alt text", "description", "no description", "todo", "tbd", "test", "xxx",
        "placeholder", "unknown", "lorem ipsum", "ảnh", "hình ảnh", "bức ảnh", "không có mô tả", "mô tả",
        "chú thích",         "chưa có mô tả", "không có tiêu đề",
    )
)  # fmt: skip
CAMERA = re.compile(
    r"(?:(?:img|dsc[nf]?|dscf|pxl|mvimg|gopr|p|vid|screen ?shot|whatsapp image)[-_ ]*|(?:image|photo|picture|pic)[-_]?)"
    r"\d{3,}[\d_() .-]*(?:\.\w{3,4})?",
    re.IGNORECASE,
)
"""Names that cameras, phones and programs give."""
PICTURE_NAME = re.compile(
    rf"[^\s/\\]+(?:{'|'.join(re.escape(s) for s in sorted(SUFFIXES))}|\.heic|\.svg)", re.IGNORECASE
)
DIGEST = re.compile(r"[0-9a-f]{16,}|[0-9a-f]{8}-[0-9a-f-]{27}|\d[\d_.\-]{3,}", re.IGNORECASE)
ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,6});", re.IGNORECASE)
ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|n(?![a-z])|[\"t](?![a-z]))")
MARKS = re.compile(
    r"\*\*\S|__\S.*\S__|!?\[[^\]]*\]\([^)]*\)|^#{1,6} |```|^\s*[\[{]\s*\"\w+\"|<\|[^|]*\|>", re.MULTILINE
)
CHAT = re.compile(
    r"as an ai|i(?:'m| am) sorry|i can(?:no|')t (?:assist|help|see|view|provide|describe)|i(?:'m| am) unable to|"
    r"(?:^|\s)(?:sure|certainly|of course)[!,.] (?:here|this)|"
    r"here(?:'s| is) (?:a|the|your) (?:\w+ )?(?:caption|description)|"
    r"xin lỗi, tôi|tôi không thể (?:hỗ trợ|giúp|xem|mô tả)|là một (?:mô hình|trợ lý)",
    re.IGNORECASE,
)
REPEATED = re.compile(r"\b(\w+)(?:\W+\1\b){3,}", re.IGNORECASE)
LOST = re.compile(r"[^\W\d_]\?[^\W\d_]")
ENGLISH_ONLY = frozenset(
    (
        "of", "with", "and", "is", "are", "this", "above", "below", "behind", "left", "right", "small", "large", "red",
        "blue", "green", "yellow", "black", "white", "orange", "picture", "two", "three", "four", "front", "next",
        "near", "under", "square", "circle", "star", "wearing", "standing", "sitting", "holding", "people", "street",
        "water",
    )
)  # fmt: skip
"""English words that are no Vietnamese syllable, with or without its marks."""
JOINED = frozenset(("ARABIC", "DEVANAGARI", "BENGALI", "TAMIL", "MALAYALAM", "KANNADA", "TELUGU", "SINHALA", "KHMER"))
"""Scripts that need joiners, which are invisible."""


@dataclass(frozen=True)
class Met:
    """One thing met: its kind, what was seen, and how bad it is (the lower, the worse)."""

    kind: str
    note: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Counted:
    """One caption as it is counted.

    Attributes:
        language: as the source says, else as it looks, else empty; said: does the source say it?
        words: in lower case; tokens: with both ends, 0 where the text has no UTF-8 form.
        form: ``NFC``, ``NFD``, or empty where the two are the same.
    """

    text: str
    language: str
    said: bool
    words: tuple[str, ...]
    tokens: int
    form: str
    script: str


def counted(caption: Caption, tokenizer: Tokenizer) -> Counted:
    """A caption's figures; whatever it holds, none of them fails."""
    sound = caption.text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    words = tuple(words_of(sound))
    tokens = len(tokenizer.ids(normalise.normalise(sound))) + 2
    return Counted(
        caption.text, caption.language or guess(sound, words), bool(caption.language), words, tokens, form(sound),
        script(sound),
    )  # fmt: skip


def guess(text: str, words: Sequence[str]) -> str:
    """The language a text looks to be in: ``vi``, ``en``, or empty."""
    if normalise.looks_vietnamese(text):
        return "vi"
    letters = [c for c in text if c.isalpha()]
    return "en" if letters and all(c.isascii() for c in letters) else ""


def form(text: str) -> str:
    """The Unicode form of a text, empty where there is only one."""
    composed, apart = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    if composed == apart:
        return ""
    return "NFC" if text == composed else "NFD"


def script(text: str) -> str:
    """The script most of its letters are in, as Unicode names it; empty without letters."""
    letters = [c for c in text if c.isalpha()][:80]
    names = [_script(c) for c in letters]
    return max(set(names), key=names.count) if names else ""


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "")
    return "HAN" if name.startswith("CJK") else name.split(" ")[0].split("-")[0]


def of_picture(key: str, captions: Sequence[Counted], most: int, chosen: bool) -> Iterator[Met]:
    """What is wrong with a picture's captions.

    Args:
        key: of the picture: a caption may be its name.
        most: tokens that the model reads; chosen: did the user name the model?
    """
    for caption in captions:
        yield from _of_text(key, caption, most, chosen)
    seen: dict[str, str] = {}
    for caption in captions:
        plain = " ".join(caption.words)
        if plain and plain in seen:
            other = seen[plain]
            if caption.said and other != caption.language and len(caption.words) > 2:
                yield Met("untranslated", f"{other} and {caption.language}: {_cut(caption.text)}")
            elif other == caption.language:
                yield Met("said twice", _cut(caption.text))
        seen.setdefault(plain, caption.language)


def _of_text(key: str, caption: Counted, most: int, chosen: bool) -> Iterator[Met]:
    text = caption.text
    plain = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc")).strip()
    if not plain:
        yield Met("empty caption", "invisible characters only" if text.strip() else "")
        return
    if plain.lower() in NO_VALUE:
        yield Met("caption is NaN", repr(plain))
        return
    name = _name(key, plain)
    if name:
        yield Met("caption is a file name", _cut(plain))
    elif plain.lower().strip(" .!:") in PLACEHOLDERS or plain.lower().startswith("lorem ipsum"):
        yield Met("placeholder caption", _cut(plain))
    elif not any(c.isalnum() for c in plain):
        yield Met("no words", _cut(plain))
    for kind, check in CHECKS.items():
        note = check(caption)
        if note:
            yield Met(kind, f"{note} in: {_cut(text)}")
    if caption.tokens > most:
        sure = chosen or len(caption.words) > most // 2
        kind = "overlong caption" if sure else "long for this tokenizer"
        language = f", {caption.language}" if caption.language else ""
        yield Met(kind, f"{caption.tokens} tokens, {len(caption.words)} words{language}: {_cut(text)}", -caption.tokens)


def _name(key: str, text: str) -> bool:
    """Is the caption a file's name, this one's or any? One of plain words ("red circle.png") may be a good caption."""
    path = PurePosixPath(key)
    if text in (path.name, key) or PICTURE_NAME.fullmatch(text) or CAMERA.fullmatch(text) or DIGEST.fullmatch(text):
        return True
    return text == path.stem and bool(re.search(r"[\d_]", text))


def _surrogates(caption: Counted) -> str:
    lone = [c for c in caption.text if "\ud800" <= c <= "\udfff"]
    return f"U+{ord(lone[0]):04X}" if lone else ""


def _controls(caption: Counted) -> str:
    odd = [c for c in caption.text if unicodedata.category(c) in ("Cc", "Co", "Cn") and c not in "\n\r\t"]
    return f"U+{ord(odd[0]):04X}" if odd and not _garbled(caption) else ""


def _invisible(caption: Counted) -> str:
    text = caption.text
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return ""  # where direction changes, its marks have work to do
    for at, c in enumerate(text):
        if unicodedata.category(c) != "Cf":
            continue
        before = text[at - 1] if at else ""
        joins = c in "\u200c\u200d" and before and (not before.isalpha() or _script(before) in JOINED)
        if not joins and not (0xE0000 <= ord(c) <= 0xE007F and at):  # tags: flags of regions
            return f"U+{ord(c):04X} {unicodedata.name(c, '')}".strip()
    return ""


def _markup(caption: Counted) -> str:
    for pattern in (TAG, ENTITY, ESCAPE, MARKS):
        match = pattern.search(caption.text)
        if match:
            return repr(match[0][:30])
    return ""


def _address(caption: Counted) -> str:
    match = URL.search(caption.text) or MAIL.search(caption.text)
    return match[0][:40] if match else ""


def _byte(c: str) -> bytes:
    """The byte that Windows-1252, or Latin-1 where that has none, reads as this character."""
    try:
        return c.encode("cp1252")
    except UnicodeEncodeError:
        return bytes([ord(c)]) if ord(c) < 256 else b"\0"


UTF8 = re.compile(rb"[\xc2-\xc6][\x80-\xbf]|[\xe1-\xe2][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}")


def _garbled(caption: Counted) -> str:
    text = caption.text
    if "\ufffd" in text:
        return "U+FFFD, the mark of a letter that was lost,"
    if len(LOST.findall(text)) >= 2 and not URL.search(text):
        return "? in the midst of words"
    if text.isascii() or all(ord(c) > 0x2122 for c in text if not c.isascii()):
        return ""
    data = b"".join(map(_byte, text))
    for match in UTF8.finditer(data):
        was = match[0].decode("utf-8", "replace")
        shouted = match.start() > 0 and text[match.start() - 1].isupper() and len(match[0]) == 2
        meant = was.isalpha() or "\u2010" <= was <= "\u2122" or len(match[0]) == 4 or was in "\u00a0°±«»½·"
        if meant and not shouted:
            return f"{text[match.start() : match.end()]!r} where {was!r} was meant"
    return ""


def _lookalike(caption: Counted) -> str:
    if caption.text.isascii():
        return ""
    for word in re.findall(r"[^\W\d_]+", caption.text):
        scripts = {_script(c) for c in word}
        if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN"}:
            return repr(word[:20])
        if scripts & {"MATHEMATICAL", "FULLWIDTH"}:
            return repr(word[:20])
    return ""


def _repeated(caption: Counted) -> str:
    match = REPEATED.search(caption.text)
    return repr(match[1]) if match and match[1].isalpha() else ""


def _chat(caption: Counted) -> str:
    match = CHAT.search(caption.text)
    return repr(match[0].strip()) if match else ""


def _language(caption: Counted) -> str:
    """Only what is sure: Vietnamese letters in many words of English, several English words in Vietnamese, or letters
    that neither has."""
    if not caption.said or caption.language not in ("en", "vi") or not caption.words:
        return ""
    if caption.script not in ("LATIN", "") and len(caption.words) > 0:
        return f"{caption.script.title()} letters in a caption of {caption.language}"
    marked = any(normalise.looks_vietnamese(word) for word in caption.words)
    if caption.language == "en":
        accented = sum(not word.isascii() for word in caption.words)
        return (
            "Vietnamese letters in a caption of en" if marked and accented >= max(2, 0.4 * len(caption.words)) else ""
        )
    english = len(ENGLISH_ONLY & set(caption.words))
    return "English words in a caption of vi" if not marked and english >= 2 else ""


def _capitals(caption: Counted) -> str:
    letters = [c for c in caption.text if c.isalpha()]
    return "capitals" if len(letters) > 8 and all(c.isupper() for c in letters) else ""


def _spaces(caption: Counted) -> str:
    return "spaces" if caption.text != " ".join(caption.text.split()) else ""


CHECKS: dict[str, Callable[[Counted], str]] = {
    "lone surrogate": _surrogates,
    "control characters": _controls,
    "invisible characters": _invisible,
    "markup": _markup,
    "web address": _address,
    "garbled letters": _garbled,
    "lookalike letters": _lookalike,
    "repeated words": _repeated,
    "chat model's answer": _chat,
    "wrong language": _language,
    "all capitals": _capitals,
    "spaces": _spaces,
}
"""What may be in a text: each gives what it saw, or nothing."""


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
