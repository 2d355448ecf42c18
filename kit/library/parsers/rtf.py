"""Rich Text: paragraphs and tables in order, under their headings; pictures are passed over.

A reader of control words with a stack of groups, one pass over the file, no recursion. Knows text,
not layout. Hidden (\\v) text is not read.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.library.dates import own_date
from kit.library.documents import ParsedDocument
from kit.library.parsers.build import HeadingPath, TextBuilder, table_lines
from kit.library.parsers.clean import one_line

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])"
    rb"|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)
_SKIPPED = {
    "fonttbl", "stylesheet", "colortbl", "pict", "object", "themedata", "colorschememapping",
    "latentstyles", "datastore", "listtable", "listoverridetable", "rsidtbl", "generator",
    "xmlnstbl", "fldinst", "objdata", "datafield", "revtbl", "filetbl", "mmathPr", "bkmkstart",
    "bkmkend", "annotation", "atnid", "atnauthor", "pgptbl", "info", "private", "nonshppict",
    "panose", "falt", "pntext", "listtext", "shpinst", "do", "tc", "xe", "deleted",
}  # fmt: skip
_MARGINS = {"header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf"}
_READ_STARRED = {"shptxt", "shppict", "footnote", "shpinst", "htmltag"}
_MOMENTS = ("revtim", "creatim")  # when it was last changed, and made; in the info group
_SIGNS = {
    "tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘",
    "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ",
    "qmspace": " ", "softline": "\n", "lbr": "\n",
}  # fmt: skip
_CHARSETS = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "big5",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257",
    204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_STARTS = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850", "ansi": "cp1252"}


@dataclass(frozen=True)
class _Look:
    """What holds until the group's end: what is passed over, the code page, the unseen."""

    skips: bool = False
    into: str = ""
    """Where the text goes if not to the document: 'title', 'fonts', 'styles', 'colours' …"""
    encoding: str = ""
    hidden: bool = False
    fallback: int = 1
    """How many characters after a Unicode one stand for it in old readers."""
    starred: bool = False


@dataclass
class _Paragraph:
    pieces: list[str] = field(default_factory=list)
    level: int = 0
    in_table: bool = False


def parse(path: Path) -> ParsedDocument:
    """Sections follow the headings. A file cut short gives what is there."""
    return parse_rtf(path.read_bytes())


def parse_rtf(data: bytes) -> ParsedDocument:
    """As `parse`, from the file's bytes."""
    reader = _Reader()
    reader.read(data)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self._builder, self._headings = TextBuilder(), HeadingPath()
        self._builder.begin("heading", "")
        self._look, self._stack = _Look(), list[_Look]()
        self._code_page = "cp1252"
        self._raw = bytearray()  # bytes of one code page that wait to become text
        self._skip_chars = 0
        self._high = 0
        self._paragraph = _Paragraph()
        self._cells, self._rows = list[str](), list[list[str]]()
        self._fonts, self._font = dict[int, str](), 0
        self._default_font: int | None = None
        self._levels, self._style = dict[int, int](), 0
        self._style_name: list[str] = []
        self._colours, self._colour = list[tuple[int, int, int]](), [0, 0, 0]
        self._margins = dict[str, None]()
        self._aside: list[str] = []
        self._title: list[str] = []
        self._moments = dict[str, dict[str, int]]()
        self._first_heading = ""

    # -- reading --------------------------------------------------------------------------------

    def read(self, data: bytes) -> None:
        position, end = 0, len(data)
        while position < end:
            token = _TOKEN.match(data, position)
            if token is None:  # a backslash at the end
                break
            position = token.end()
            word, number, code, symbol, brace, text = token.groups()
            if brace:
                self._brace(brace)
            elif word:
                name, value = word.decode(), int(number) if number else None
                if name == "bin":
                    position += max(0, value or 0)
                else:
                    self._word(name, value)
            elif code:
                self._bytes(bytes([int(code, 16)]))
            elif symbol:
                self._symbol(symbol)
            elif text:
                self._bytes(text)

    def _brace(self, brace: bytes) -> None:
        self._flush()
        self._skip_chars = 0
        if brace == b"{":
            self._stack.append(self._look)
            return
        before = self._look
        self._look = self._stack.pop() if self._stack else _Look()
        if before.into != self._look.into:
            self._close_aside(before.into)

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._flush()
            self._look = replace(self._look, starred=True)
        elif symbol in b"\\{}":
            self._bytes(symbol)
        elif symbol == b"~":
            self._say(" ")
        elif symbol == b"_":
            self._say("-")
        elif symbol in b"\r\n":
            self._word("par", None)

    def _word(self, name: str, value: int | None) -> None:
        if name == "u":
            self._unicode(value or 0)
            return
        if self._skip_chars:  # a control word may stand for one character of the fallback
            self._skip_chars -= 1
        self._flush()
        if self._look.starred:
            self._look = replace(
                self._look, starred=False, skips=self._look.skips or name not in _READ_STARRED
            )
        if self._look.into in _MOMENTS and name in ("yr", "mo", "dy"):
            self._moments.setdefault(self._look.into, {})[name] = value or 0
            return
        if self._destination(name) or self._table_of_names(name, value):
            return
        if name in _SIGNS:
            self._say(_SIGNS[name])
        elif name in _STARTS:
            self._code_page = _STARTS[name]
        elif name == "ansicpg" and value:
            self._code_page = _known(f"cp{value}") or self._code_page
        elif name == "deff":
            self._default_font = value
        elif name == "uc":
            self._look = replace(self._look, fallback=min(max(value or 0, 0), 10))
        elif name == "v":
            self._look = replace(self._look, hidden=value != 0)
        elif name == "plain":
            self._look = replace(self._look, hidden=False, encoding="")
        elif name == "f":
            self._look = replace(self._look, encoding=self._fonts.get(value or 0, ""))
        elif name == "fs" and value is not None and self._look.into != "styles":
            if value < 4:  # half points: under 2 points nobody reads it
                self._look = replace(self._look, hidden=True)
        elif not self._look.into and not self._look.skips:
            self._layout(name, value)

    def _destination(self, name: str) -> bool:
        """Groups whose text is no text of the document."""
        if name in _MARGINS or name == "footnote":
            self._look = replace(self._look, into="margin" if name in _MARGINS else "note")
        elif name == "title" and self._look.skips:
            self._look = replace(self._look, skips=False, into="title")
        elif name in _MOMENTS and self._look.skips:
            self._look = replace(self._look, into=name)
        elif name in ("fonttbl", "stylesheet", "colortbl"):
            into = {"fonttbl": "fonts", "stylesheet": "styles", "colortbl": "colours"}[name]
            self._look = replace(self._look, into=into)
        elif name == "shptxt":
            self._look = replace(self._look, skips=False)
        elif name in _SKIPPED:
            self._look = replace(self._look, skips=True)
        else:
            return False
        return True

    def _table_of_names(self, name: str, value: int | None) -> bool:
        """What fonts, styles and colours the file declares."""
        into = self._look.into
        if into == "fonts":
            if name == "f":
                self._font = value or 0
            elif name in ("fcharset", "cpg"):
                known = _known(f"cp{value}") if name == "cpg" else _CHARSETS.get(value or 0, "")
                if known or value in (0, 1):
                    self._fonts[self._font] = known or self._code_page
            return name in ("f", "fcharset", "cpg")
        if into == "styles":
            if name == "s":
                self._style = value or 0
            elif name == "outlinelevel" and value is not None and value < 9:
                self._levels[self._style] = value + 2
            return True
        if into == "colours":
            if name in ("red", "green", "blue"):
                self._colour[("red", "green", "blue").index(name)] = value or 0
            return True
        return False

    def _layout(self, name: str, value: int | None) -> None:
        paragraph = self._paragraph
        if name in ("par", "sect", "page"):
            self._end_paragraph()
        elif name == "pard":
            paragraph.level, paragraph.in_table = 0, False
        elif name == "s":
            paragraph.level = self._levels.get(value or 0, 0)
        elif name == "outlinelevel" and value is not None:
            paragraph.level = value + 2 if value < 9 else 0
        elif name == "intbl":
            paragraph.in_table = True
        elif name in ("cell", "nestcell"):
            self._cells.append("".join(paragraph.pieces).strip())
            paragraph.pieces = []
        elif name in ("row", "nestrow"):
            self._rows.append(self._cells)
            self._cells = []
        elif name == "cf" and value is not None:
            unseen = value < len(self._colours) and self._colours[value] == (255, 255, 255)
            self._look = replace(self._look, hidden=unseen)
        elif name in ("highlight", "cb", "chcbpat", "clcbpat", "cbpat") and value:
            self._look = replace(self._look, hidden=False)

    # -- characters -----------------------------------------------------------------------------

    def _unicode(self, value: int) -> None:
        self._flush()
        code = value + 65536 if value < 0 else value
        if 0xD800 <= code < 0xDC00:
            self._high = code
        elif 0xDC00 <= code < 0xE000 and self._high:
            self._say(chr(0x10000 + ((self._high - 0xD800) << 10) + code - 0xDC00))
            self._high = 0
        elif code <= 0x10FFFF:
            self._say(chr(code))
        self._skip_chars = self._look.fallback

    def _bytes(self, data: bytes) -> None:
        if self._skip_chars:
            skipped = min(self._skip_chars, len(data))
            self._skip_chars -= skipped
            data = data[skipped:]
        if not self._look.skips:
            self._raw += data

    def _flush(self) -> None:
        if self._raw:
            data = bytes(self._raw)
            self._raw.clear()
            self._say(data.decode(self._look.encoding or self._encoding(), "replace"))

    def _encoding(self) -> str:
        return self._fonts.get(self._default_font or 0, "") or self._code_page

    def _say(self, text: str) -> None:
        self._flush()
        look = self._look
        if look.skips:
            return
        if look.into == "colours":
            for _ in range(text.count(";")):
                self._colours.append((self._colour[0], self._colour[1], self._colour[2]))
                self._colour = [0, 0, 0]
        elif look.into == "styles":
            self._name_style(text)
        elif look.into == "title":
            self._title.append(text)
        elif look.into in ("margin", "note"):
            self._aside.append(text)
        elif not look.into:
            if look.hidden:
                self._builder.hidden.add(text)
            else:
                self._paragraph.pieces.append(text)

    def _name_style(self, text: str) -> None:
        match = re.match(r"\s*heading (\d)\s*;", "".join([*self._style_name, text]), re.IGNORECASE)
        if match:
            self._levels[self._style] = int(match.group(1)) + 1
        self._style_name = [] if ";" in text else [*self._style_name[-3:], text]
        if ";" in text:
            self._style = 0

    # -- writing --------------------------------------------------------------------------------

    def _close_aside(self, into: str) -> None:
        text = one_line("".join(self._aside))
        self._aside = [] if into in ("margin", "note") else self._aside
        if into == "margin" and text:
            self._margins[text] = None
        elif into == "note" and text:
            self._paragraph.pieces.append(f" ({text})")

    def _end_paragraph(self) -> None:
        paragraph = self._paragraph
        if paragraph.in_table:
            paragraph.pieces.append("\n")  # inside a cell
            return
        self._write_table()
        text = "".join(paragraph.pieces).strip()
        paragraph.pieces = []
        if paragraph.level and text and len(text) < 500:
            self._first_heading = self._first_heading or text
            self._builder.begin("heading", self._headings.enter(paragraph.level, text))
        self._builder.paragraph(text)

    def _write_table(self) -> None:
        if self._cells:
            self._rows.append(self._cells)
        if self._rows:
            self._builder.paragraph("\n".join(table_lines(self._rows)))
        self._rows, self._cells = [], []

    def finish(self) -> ParsedDocument:
        self._flush()
        self._paragraph.in_table = False
        self._end_paragraph()
        if self._margins:
            self._builder.begin("heading", "Headers and footers")
            for line in self._margins:
                self._builder.paragraph(line)
        title = "".join(self._title) or self._first_heading
        changed, made = (self._moment(name) for name in _MOMENTS)
        dated = own_date((changed, "modified"), (made, "created"))
        return self._builder.finish(title=title, dated=dated)

    def _moment(self, name: str) -> str:
        parts = self._moments.get(name, {})
        return "{:04}-{:02}-{:02}".format(*(parts.get(part, 0) for part in ("yr", "mo", "dy")))


def _known(encoding: str) -> str:
    """The code page's name if Python knows it."""
    encoding = {"cp65001": "utf-8", "cp10000": "mac_roman"}.get(encoding, encoding)
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return ""
