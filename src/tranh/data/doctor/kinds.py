"""Every kind of thing the data doctor can find, with its severity and its remedy in plain words.

It knows no check: those are in ``captions``, ``pictures``, ``beside``, ``records``, ``balance`` and ``match``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "note")
"""The worst first. A fault loses pictures or makes a measurement untrue, a warning makes a model worse, a note is to be
known and needs nothing done."""


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be found.

    Attributes:
        unit: what is counted.
        what: what is the matter, after "3 of 60 pictures: ".
        remedy: what to do.
        usual: it may be the nature of the data (see ``USUAL``).
    """

    name: str
    severity: Severity
    unit: Literal["pictures", "captions", "files", "labels", "splits", "pairs"]
    what: str
    remedy: str
    usual: bool = False


PREPARED = "`tranh data prepare` leaves these out"
CLEANED = "`tranh data prepare` cleans this away"
CONVERTED = "nothing: `tranh data prepare` makes it RGB of 8 bits"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        # files
        Kind("missing file", "fault", "pictures", "listed, but not there", "correct file_name, or remove the line"),
        Kind("unreadable file", "fault", "files", "cannot be read", "correct its permissions, or put the file there"),
        Kind("empty file", "fault", "pictures", "the file has no bytes", f"copy it again; {PREPARED}"),
        Kind("not a picture", "fault", "pictures", "the bytes are something else", f"download it again; {PREPARED}"),
        Kind("cut short", "fault", "pictures", "the file ends too soon", f"copy or download it again; {PREPARED}"),
        Kind("damaged", "fault", "pictures", "the bytes are not sound", f"copy or download it again; {PREPARED}"),
        Kind("too large", "fault", "pictures", "more bytes or pixels than are safe", f"shrink it; {PREPARED}"),
        Kind("outside the folder", "fault", "pictures", "points out of the folder", "put the picture inside"),
        Kind("bad line", "fault", "files", "a line of the metadata cannot be read",
             "one JSON object, or CSV row, a line"),
        Kind("no file name", "fault", "files", "a line names no picture", "each line needs file_name"),
        Kind("not UTF-8", "fault", "files", "the text is in another encoding", "save it as UTF-8"),
        Kind("broken entry", "fault", "files", "the source cannot be read there", "mend the entry named"),
        Kind("damaged source", "fault", "files", "no picture in it can be reached", "copy or download the file again"),
        Kind("empty box", "fault", "pictures", "the part that is meant lies outside", "correct the box"),
        Kind("gap in the picture", "warning", "pictures", "its lower part is the grey of missing bytes",
             "download it again"),
        Kind("wrong extension", "warning", "pictures", "the name says another format",
             "rename it; it is used as it is"),
        Kind("unlisted picture", "warning", "pictures", "no metadata speaks of it", "list it, or remove it"),
        Kind("listed twice", "warning", "pictures", "two entries name it",
             "keep one; several captions go in one entry"),
        Kind("text without a picture", "warning", "files", "nothing has its name", "restore the picture, or remove it"),
        Kind("doubled column", "warning", "files", "two columns have one name", "rename one: the last is used"),
        Kind("unusual file name", "warning", "files", "other programs trip over it", "rename it"),
        Kind("format not read", "warning", "files", "lies beside the pictures and is not used",
             "convert it to PNG or JPEG"),
        Kind("damaged shard", "fault", "files", "it ends too soon; what follows is lost", "copy or download it again"),
        Kind("system files", "note", "files", "left by a file manager", "nothing: they are passed over"),
        # pictures
        Kind("tiny", "warning", "pictures", "too few pixels to show anything", PREPARED, usual=True),
        Kind("extreme shape", "warning", "pictures", "a strip", "crop it: a square of it shows little", usual=True),
        Kind("blank", "warning", "pictures", "one colour and nothing else", "remove it", usual=True),
        Kind("blurred", "warning", "pictures", "no edge in it is sharp", "remove it, or prepare with a blur limit",
             usual=True),
        Kind("huge", "note", "pictures", "many more pixels than are used", "nothing: preparing shrinks it"),
        Kind("very dark", "note", "pictures", "almost black", "look at it"),
        Kind("grey", "note", "pictures", "no colour", "nothing, if that is meant"),
        Kind("CMYK", "note", "pictures", "made for printing", CONVERTED),
        Kind("16 bit", "note", "pictures", "more than 8 bits a channel", CONVERTED),
        Kind("palette", "note", "pictures", "a table of colours", CONVERTED),
        Kind("transparent", "note", "pictures", "partly see-through", "nothing: white is put behind it"),
        Kind("turned", "note", "pictures", "EXIF says how to turn it", "nothing: it is turned"),
        Kind("animated", "note", "pictures", "several frames or pages", "nothing: the first is used"),
        Kind("other mode", "note", "pictures", "an unusual kind of pixels", CONVERTED),
        Kind("colour profile", "note", "pictures", "colours other than sRGB", "convert it, if its colours matter"),
        Kind("odd metadata", "note", "pictures", "what lies beside its pixels cannot be read",
             "nothing: it is left out"),
        # captions
        Kind("no caption", "fault", "pictures", "nothing says what it shows", f"write one; {PREPARED}"),
        Kind("empty caption", "fault", "pictures", "a caption without a letter", f"write one; {PREPARED}"),
        Kind("caption is NaN", "fault", "pictures", "an empty cell of a table", "write one, or leave the row out"),
        Kind("lone surrogate", "fault", "captions", "half a character, which has no UTF-8", CLEANED),
        Kind("overlong caption", "warning", "captions", "more tokens than the model reads",
             "shorten it: the rest is cut"),
        Kind("mixed NFC and NFD", "warning", "captions", "NFD: one letter in several code points", CLEANED),
        Kind("caption is a file name", "warning", "captions", "it says nothing of the picture", "write one"),
        Kind("placeholder caption", "warning", "captions", "a word that stands for a caption", "write one"),
        Kind("markup", "warning", "captions", "tags, entities or escapes", CLEANED),
        Kind("web address", "warning", "captions", "an address, of the web or of mail", CLEANED),
        Kind("control characters", "warning", "captions", "characters that are no text", CLEANED),
        Kind("invisible characters", "warning", "captions", "zero-width or direction marks", CLEANED),
        Kind("garbled letters", "warning", "captions", "read in a wrong encoding once", "read the original as UTF-8"),
        Kind("lookalike letters", "warning", "captions", "letters of two scripts in one word", "type the word again"),
        Kind("no words", "warning", "captions", "only emoji or signs", "write what the picture shows"),
        Kind("repeated words", "warning", "captions", "one word again and again", CLEANED),
        Kind("chat model's answer", "warning", "captions", "speaks to a person, not of the picture",
             "cut that part out"),
        Kind("wrong language", "warning", "captions", "not in the language it is labelled with", "correct the label"),
        Kind("missing translation", "warning", "pictures", "a language that most others have is missing",
             "translate it, or train on one language"),
        Kind("untranslated", "warning", "pictures", "the same text in two languages", "translate it"),
        Kind("one caption for most", "warning", "captions", "a single text", "captions must tell pictures apart"),
        Kind("long for this tokenizer", "note", "captions", "many tokens, though not many words",
             "name the model you train with --model: a tokenizer trained on these captions spends fewer"),
        Kind("few different captions", "note", "captions", "the same texts again and again",
             "nothing, if they are classes"),
        Kind("all capitals", "note", "captions", "shouted", "nothing: models read lower case"),
        Kind("spaces", "note", "captions", "spaces at the ends, doubled, or line breaks", CLEANED),
        Kind("said twice", "note", "pictures", "one caption twice", "nothing: one is kept"),
        Kind("uneven captions", "note", "pictures", "another number of captions than most",
             "nothing, if that is meant"),
        Kind("other script", "note", "captions", "another script than nearly all", "check that it is meant"),
        # doubles
        Kind("duplicate across splits", "fault", "pictures", "trained on and tested on: the test is not true",
             "keep it in one split; `tranh data prepare` does"),
        Kind("near duplicate across splits", "warning", "pictures", "nearly the same in two splits",
             "keep it in one split; `tranh data prepare` does"),
        Kind("duplicate", "warning", "pictures", "the same bytes again", "keep one; `tranh data prepare` does"),
        Kind("near duplicate", "warning", "pictures", "nearly the same picture again",
             "keep one; `tranh data prepare` does"),
        Kind("same picture, other captions", "warning", "pictures", "what it shows is said in two ways",
             "put both captions to one picture, or keep the true one"),
        Kind("same picture, other label", "warning", "pictures", "it is in two classes", "keep the true one"),
        # balance
        Kind("class imbalance", "warning", "labels", "far fewer pictures than the others",
             "gather more of them, or draw them more often"),
        Kind("class missing in training", "warning", "labels", "tested on, never trained on", "split each class"),
        Kind("classes are not shared", "note", "splits", "most classes tested on are not trained on",
             "nothing, if unseen classes are the test"),
        Kind("one class, several names", "warning", "labels", "they differ only in spelling", "choose one spelling"),
        Kind("no label", "warning", "pictures", "others have a label, this one has none", "label it"),
        Kind("split not known", "warning", "pictures", "others name a split, this one does not", "name its split"),
        Kind("no validation split", "note", "splits", "nothing is kept out for measuring",
             "name one; else 2 % is drawn"),
        Kind("training is the smaller part", "note", "splits", "more pictures for testing", "check the splits' names"),
        Kind("language imbalance", "note", "captions", "far fewer than in the other language", "translate more"),
        Kind("colour cast", "note", "pictures", "their mean colour is far from grey", "nothing, if that is meant"),
        # match
        Kind("caption mismatch", "warning", "pairs", "the caption fits no better than a stranger's",
             "look at the pair"),
        Kind("mismatch not judged", "note", "pairs", "this CLIP cannot tell these pictures' captions from others'",
             "give one that was trained on such pictures"),
    )
}  # fmt: skip
"""By name, in the order in which a report tells them within a severity."""
