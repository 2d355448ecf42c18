"""Text recognition (OCR) by the distribution's tesseract: is it there, and what did it read.

Knows tesseract's languages and its table of words; it starts it only to ask for the languages. The
page itself is read in a cage (kit/library/reading/read_file.py).
"""

from __future__ import annotations

import csv
import io
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kit.errors import DocumentRefused
from kit.library.documents import Page, PageWords, ParsedDocument, Scan, Section
from kit.library.parsers.clean import clean
from kit.library.word_boxes import Area, Word, pack_words

FOLDERS = "/usr/bin:/bin:/usr/local/bin"
LOW_CONFIDENCE = 70.0  # of 100; clean scans give 90 and more
MAX_FAILURES = 3  # pages in a row that could not be read; then the rest is left
_SHEET = "1"  # level of the row that has the picture's own size


@dataclass(frozen=True)
class Recogniser:
    """What reads pages: the program and its languages ('eng+afr')."""

    program: str
    languages: str


@dataclass(frozen=True)
class Recognised:
    """A page's text, how sure tesseract is of it (0 to 100), and where its words stand."""

    text: str
    confidence: float
    words: bytes = b""
    """Packed (kit.library.word_boxes); empty if their places are not known."""


@dataclass(frozen=True)
class CannotRead:
    """Why scans are not read, and what to do."""

    reason: str
    hint: str


def find_recogniser(languages: Sequence[str]) -> Recogniser | CannotRead:
    """The program with the languages asked for, or what is missing."""
    if not languages:
        return CannotRead(
            "text recognition is switched off", "set library.ocr_languages in kit.toml"
        )
    program = shutil.which("tesseract", path=FOLDERS)
    packages = " ".join(["tesseract-ocr", *(package_of(one) for one in languages if one != "eng")])
    if program is None:
        return CannotRead(
            "text recognition is not installed",
            f"install it and try again: apt-get install {packages}",
        )
    there = installed_languages(program)
    missing = [one for one in languages if one not in there]
    if missing:
        return CannotRead(
            f"text recognition has no data for the language {', '.join(missing)}",
            f"install it (apt-get install {' '.join(map(package_of, missing))}), or name others in "
            f"library.ocr_languages; there are {', '.join(there) or 'none'}",
        )
    return Recogniser(program, "+".join(languages))


def package_of(language: str) -> str:
    """The distribution's package: 'chi_sim' -> 'tesseract-ocr-chi-sim'."""
    return f"tesseract-ocr-{language.replace('_', '-').lower()}"


def installed_languages(program: str) -> list[str]:
    """Languages it has data for, without 'osd', which is none."""
    try:
        done = subprocess.run(
            [program, "--list-langs"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = (line.strip() for line in done.stdout.splitlines()[1:])
    return sorted(name for name in names if name and name != "osd")


def read_words(table: str) -> Recognised:
    """Tesseract's table of words (TSV) as lines and paragraphs.

    Raises: ValueError if it is none.
    """
    text, words, length, line = list[str](), list[Word](), 0, 0
    before, sheet = tuple[str, ...](), (0, 0)
    sure = weight = 0.0
    for row in _in_lines(table):
        if row["level"] == _SHEET:
            sheet = int(row["width"]), int(row["height"])
        word, confidence = clean(row["text"] or "").strip(), float(row["conf"])
        if not word or confidence < 0:
            continue
        key = _line_of(row)
        between = _between(before, key) if before else ""
        line += "\n" in between
        start = length + len(between)
        length = start + len(word)
        text += [between, word]
        words.append(Word(start, length, line, _area(row, sheet)))
        sure, weight = sure + confidence * len(word), weight + len(word)
        before = key
    packed = pack_words(words) if min(sheet) > 0 else b""
    return Recognised("".join(text), sure / weight if weight else 0.0, packed)


def _in_lines(table: str) -> Iterable[Mapping[str, str]]:
    """The rows of the table, those of one line together. Raises: ValueError."""
    lines: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row.get("conf") is None:
            raise ValueError("not a table of words")
        lines.setdefault(_line_of(row), []).append(row)
    return itertools.chain.from_iterable(lines.values())


def _line_of(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["block_num"], row["par_num"], row["line_num"]


def _between(before: tuple[str, ...], key: tuple[str, ...]) -> str:
    """What stands between two words by their lines (block, paragraph, line)."""
    if key == before:
        return " "
    return "\n" if key[:2] == before[:2] else "\n\n"


def _area(row: Mapping[str, str], sheet: tuple[int, int]) -> Area:
    left, top, width, height = (int(row[name]) for name in ("left", "top", "width", "height"))
    across, down = max(1, sheet[0]), max(1, sheet[1])
    return left / across, top / down, (left + width) / across, (top + height) / down


def read_scans(
    parsed: ParsedDocument,
    read_page: Callable[[Scan], Recognised],
    *,
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> ParsedDocument:
    """The document with the text of its scans in their places, and remarks on each.

    `read_page` raises DocumentRefused if a page cannot be read. `report` is told before each how
    many are done, of how many; it may take its time.
    Raises: DocumentRefused before the next page if `should_stop` says so.
    """
    found, failed, in_a_row = dict[int, Recognised](), dict[str, str](), 0
    for number, scan in enumerate(parsed.scans):
        if in_a_row == MAX_FAILURES:
            failed[scan.label] = "too many pages before it could not be read"
            continue
        report(number, len(parsed.scans))
        if should_stop():
            raise DocumentRefused("its reading was stopped")
        try:
            page = read_page(scan)
        except DocumentRefused as problem:
            if should_stop():
                raise
            failed[scan.label], in_a_row = problem.message, in_a_row + 1
            continue
        in_a_row = 0
        if any(character.isalnum() for character in page.text):
            found[scan.section] = page
    return _with_found(parsed, found, failed)


def _with_found(
    parsed: ParsedDocument, found: Mapping[int, Recognised], failed: Mapping[str, str]
) -> ParsedDocument:
    """`found`: what was read, by its section; `failed`: why not, by the label of the page."""
    texts = {section: page.text for section, page in found.items()}
    read = [scan for scan in parsed.scans if scan.section in found]
    unsure = {
        scan.label: found[scan.section].confidence
        for scan in read
        if found[scan.section].confidence < LOW_CONFIDENCE
    }
    notes = _read_notes(parsed.scans, read) + [
        f"{label} was hard to read ({confidence:.0f} of 100 sure): check it against the picture"
        for label, confidence in unsure.items()
    ]
    notes += [f"{label} was not read: {why}" for label, why in list(failed.items())[:10]]
    pages = [_page(scan, texts, unsure, failed) for scan in parsed.scans if scan.page is not None]
    words = [
        PageWords(scan.page, _num_own_chars(parsed, scan), found[scan.section].words)
        for scan in read
        if scan.page is not None and found[scan.section].words
    ]
    parsed = replace(
        parsed, notes=(*parsed.notes, *notes), pages=(*parsed.pages, *pages), words=tuple(words)
    )
    return with_texts(parsed, texts)


def _num_own_chars(parsed: ParsedDocument, scan: Scan) -> int:
    """Of the text that the page has besides its picture; what is recognised stands after it."""
    section = parsed.sections[scan.section]
    return section.end - section.start


def _page(
    scan: Scan, texts: Mapping[int, str], unsure: Mapping[str, float], failed: Mapping[str, str]
) -> Page:
    number, text = scan.page or 0, texts.get(scan.section)
    if text is not None:
        sure = unsure.get(scan.label)
        remark = f"hard to read ({sure:.0f} of 100 sure)" if sure is not None else None
        return Page(number, "ocr", len(text), remark)
    if scan.label in failed:
        return Page(number, "needs_ocr", 0, failed[scan.label])
    return Page(number, "no_text", 0, "text recognition found nothing on it")


def without_scans(parsed: ParsedDocument, why: CannotRead) -> ParsedDocument:
    """The document as it is without recognition, and what was not read."""
    if not parsed.scans:
        return parsed
    note = f"{_labels(parsed.scans)}: a picture of text, not read, because {why.reason}"
    unread = [
        Page(scan.page, "needs_ocr", 0, why.reason)
        for scan in parsed.scans
        if scan.page is not None
    ]
    parsed = replace(parsed, notes=(*parsed.notes, note), hint=why.hint)
    return with_texts(replace(parsed, pages=(*parsed.pages, *unread)), {})


def with_texts(parsed: ParsedDocument, texts: Mapping[int, str]) -> ParsedDocument:
    """`texts[i]` stands at the end of section i; sections that stay empty go."""
    pieces: list[str] = []
    sections: list[Section] = []
    position = length = 0
    for number, section in enumerate(parsed.sections):
        between, own = (
            parsed.text[position : section.start],
            parsed.text[section.start : section.end],
        )
        added = texts[number] + "\n\n" if number in texts else ""
        pieces += [between, own, added]
        start = length + len(between)
        length, position = start + len(own) + len(added), section.end
        if length > start:
            sections.append(replace(section, start=start, end=length))
    pieces.append(parsed.text[position:])
    return replace(parsed, text="".join(pieces), sections=tuple(sections), scans=())


def _read_notes(scans: Sequence[Scan], read: Sequence[Scan]) -> list[str]:
    notes = []
    if read:
        verb = "was" if len(read) == 1 else "were"
        notes.append(f"{_labels(read)} {verb} read by text recognition")
    if num_empty := len(scans) - len(read):
        notes.append(f"text recognition found nothing on {num_empty} of {len(scans)} pages")
    return notes


def _labels(scans: Sequence[Scan]) -> str:
    """'page 3', 'pages 1-4, 9', 'attachment scan.pdf > page 1'."""
    pages = [scan.page for scan in scans if scan.page is not None]
    if len(pages) < len(scans):
        shown = ", ".join(scan.label for scan in scans[:5])
        return shown + (f" and {len(scans) - 5} more" if len(scans) > 5 else "")
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:20])
    return f"page{'s' if len(pages) > 1 else ''} {shown}" + (" …" if len(runs) > 20 else "")
