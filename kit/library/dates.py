"""Of when a document is: the date in its name, or else the one that it says of itself.

Knows names and what files write down, no format. A day is ISO text of what is known of it: '2025',
'2025-03' or '2025-03-04', so that text sorts by time. Invariant: a date that cannot be true, or
that a program wrote into every file it made, is none.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

DatedBy = Literal["name", "modified", "created", "sent", "published"]

OLDEST = "1980-01-01"  # what a zip file and other programs write for "no date"; nothing is older
FUTURE = datetime.timedelta(days=1)  # clocks and time zones differ by as much
# What programs leave in files that nobody has dated: the empty documents of python-docx,
# python-pptx, Word, Excel, PowerPoint and LibreOffice, and reportlab's PDF without a time.
_TEMPLATES = (
    "2013-12-23T23:15:00", "2013-01-27T09:14:16", "2013-01-27T09:15:58",
    "2006-09-13T11:21:51", "2006-09-16T00:00:00", "2006-08-16T00:00:00",
    "2009-04-16T11:32:48", "2000-01-01T00:00:00",
)  # fmt: skip
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_ISO = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?![\d-])", re.ASCII)
_PDF = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?", re.ASCII)

_YEAR = r"((?:19|20)[0-9][0-9])"
_MONTH = r"(0[1-9]|1[0-2])"
_WORDED = "(" + "|".join(f"{m}|{m[:3]}" for m in _MONTHS) + "|Sept)"
_FULL = re.compile(rf"(?<!\d){_YEAR}([-_. ]?){_MONTH}\2(0[1-9]|[12]\d|3[01])(?!\d)")
_DAY_FIRST = re.compile(rf"(?<!\d)(\d\d?)([-_. ])(\d\d?)\2{_YEAR}(?!\d)")
_DAY = r"(\d\d?)(?:st|nd|rd|th)?"
_IN_WORDS = re.compile(
    rf"(?:(?<!\d){_DAY}[-_. ]*)?(?<![^\W\d_]){_WORDED}[-_., ]*(?:{_DAY}[-_., ]+)?{_YEAR}(?!\d)",
    re.IGNORECASE,
)
_OF_MONTH = re.compile(rf"(?<!\d){_YEAR}[-_.]{_MONTH}(?![-_.]?\d)")
_OF_YEAR = re.compile(rf"(?<!\d){_YEAR}(?!\d)")


@dataclass(frozen=True)
class Dated:
    """A day, and what says so."""

    day: str
    by: DatedBy

    @property
    def words(self) -> str:
        """'changed 4 March 2025', '2025 by its name': for people."""
        day = day_words(self.day)
        if self.by == "name":
            return f"{day} by its name"
        return f"{'changed' if self.by == 'modified' else self.by} {day}"


def date_of(name: str, own: Dated | None) -> Dated | None:
    """When a document of that name is of.

    The name, since a person chose it. What the file says of itself counts where the name says
    nothing, and where it agrees with the name and is more exact: a copy of 'policy-2023' that was
    saved in 2026 is still of 2023.
    """
    named = name_day(name)
    if not named:
        return own
    if own is not None and own.by != "sent" and own.day.startswith(named) and own.day != named:
        return own
    return Dated(named, "name")


def words_of(dated: Dated | None) -> str:
    """The date in words, '' if there is none."""
    return dated.words if dated else ""


def dated_to_json(dated: Dated | None) -> dict[str, str] | None:
    """As the API and `--json` tell it; `dated_from_json` gives back an equal date."""
    return {"day": dated.day, "by": dated.by} if dated else None


def dated_from_json(record: Mapping[str, Any] | None) -> Dated | None:
    """What `asdict` made of a date, or of none."""
    return Dated(record["day"], record["by"]) if record else None


def is_later(one: str, other: str) -> bool:
    """Whether one day is after the other, as far as both are known: '2025' is not after
    '2025-03'."""
    known = min(len(one), len(other))
    return one[:known] > other[:known]


def day_words(day: str) -> str:
    """'2025-03-04' -> '4 March 2025', '2025-03' -> 'March 2025'."""
    year, *rest = day.split("-")
    parts = [year]
    if rest:
        parts.insert(0, _MONTHS[int(rest[0]) - 1])
    if len(rest) > 1:
        parts.insert(0, str(int(rest[1])))
    return " ".join(parts)


# What a name says --------------------------------------------------------------------------------


def name_day(name: str) -> str:
    """The latest day that a document's name has, '' if it has none."""
    return max(name_days(name), default="")


@lru_cache(maxsize=4096)
def name_days(name: str) -> frozenset[str]:
    """The days that a document's name has, or else that of the folder it is in."""
    for part in reversed(name.split("/")):
        if days := frozenset(_days_in(part)):
            return days
    return frozenset()


def text_days(text: str) -> frozenset[str]:
    """The days, months and years that a text names with their year."""
    return frozenset(_days_in(text))


def _days_in(text: str) -> list[str]:
    """Each stretch of the text is read once, the longest way of writing a date first."""
    days: list[str] = []

    def take(match: re.Match[str], read: Callable[[re.Match[str]], str]) -> str:
        day = read(match)
        days.append(day)
        return "\0" if day else match[0]

    for pattern, read in _WAYS:
        text = pattern.sub(partial(take, read=read), text)
    return [day for day in days if day]


def _read_full(match: re.Match[str]) -> str:
    return _day(match[1], match[3], match[4])


def _read_day_first(match: re.Match[str]) -> str:
    """'04-03-2025' is of March or of April, so only its year counts; '24-03-2025' is a day."""
    first, second, year = int(match[1]), int(match[3]), match[4]
    days = {_day(year, second, first), _day(year, first, second)} - {""}
    return days.pop() if len(days) == 1 else year if days else ""


def _read_in_words(match: re.Match[str]) -> str:
    before, word, after, year = match.groups()
    month = next(n for n, name in enumerate(_MONTHS, 1) if name.lower().startswith(word.lower()))
    day = before or after
    return (_day(year, month, day) if day else "") or f"{year}-{month:02}"


def _read_month(match: re.Match[str]) -> str:
    return f"{match[1]}-{match[2]}"


def _read_year(match: re.Match[str]) -> str:
    return match[1]


_WAYS = (
    (_FULL, _read_full),
    (_DAY_FIRST, _read_day_first),
    (_IN_WORDS, _read_in_words),
    (_OF_MONTH, _read_month),
    (_OF_YEAR, _read_year),
)


# What a file says --------------------------------------------------------------------------------


def own_date(*said: tuple[str | None, DatedBy]) -> Dated | None:
    """The first of what a file says of itself that can be true. ISO 8601, or as in e-mails.

    Threat: a file says what its maker likes, or what a careless program left there.
    """
    for text, by in said:
        if day := _plausible((text or "").strip()[:40]):
            return Dated(day, by)
    return None


def _plausible(text: str) -> str:
    """The day, '' if it cannot be true."""
    if text[:19].replace(" ", "T") in _TEMPLATES:
        return ""
    match = _ISO.match(text)
    day = _known_part(*match.groups()) if match else _mail_day(text)
    newest = datetime.datetime.now(datetime.UTC).date() + FUTURE
    return day if OLDEST < day <= newest.isoformat() else ""


def _known_part(year: str, month: str | None, day: str | None) -> str:
    if month and day:
        return _day(year, month, day)
    return _day(year, month, 1)[:7] if month else year


def _mail_day(text: str) -> str:
    from email.utils import parsedate_to_datetime  # costs a command's start, and is rarely needed

    try:
        return parsedate_to_datetime(text).date().isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def iso_of_pdf(text: str) -> str:
    """'D:20250304120000+02'00'' -> '2025-03-04T12:00:00'; what is no such date is ''."""
    match = _PDF.match(text.strip())
    if match is None:
        return ""
    year, month, day, hour, minute, second = match.groups()
    moment = f"T{hour}:{minute or '00'}:{second or '00'}" if hour else ""
    return "-".join(part for part in (year, month, day) if part) + (moment if day else "")


def _day(year: str | int, month: str | int, day: str | int) -> str:
    try:
        return datetime.date(int(year), int(month), int(day)).isoformat()
    except (ValueError, OverflowError):
        return ""
