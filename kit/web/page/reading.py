"""The reading as HTML: how far it is and a hand on it, the followed folders, one document's pages.

Knows nouns, no widget. Invariant as in lists: texts are escaped where they are set into the page.
"""

from __future__ import annotations

from collections.abc import Sequence

from kit.library.documents import FAILED_STATES, DocumentRecord, Page
from kit.library.folders import Folder
from kit.library.progress import Progress, Reading
from kit.web.page.icons import icon
from kit.web.page.lists import tone_of
from kit.web.page.pieces import counted, sentence_case, tool
from kit.web.page.text import escape

MAX_NOW = 3  # documents being read that are named
_PAGE_STATES = {
    "text": ("ready", "Text"),
    "ocr": ("ready", "Read by OCR"),
    "blank": ("other", "Blank"),
    "no_text": ("warn", "No text"),
    "needs_ocr": ("warn", "Needs OCR"),
    "damaged": ("bad", "Damaged"),
}


def reading_html(progress: Progress, documents: Sequence[DocumentRecord], is_admin: bool) -> str:
    """Totals, and while something waits a bar, the speed, what is read now, and the buttons."""
    if not documents:
        return ""
    buttons = _buttons(progress, documents, is_admin)
    side = f'<span class="reading-tools">{buttons}</span>' if buttons else ""
    top = f'<div class="reading-top">{_totals(progress, documents)}{side}</div>'
    if not progress.num_waiting:
        return f'<section class="reading" aria-label="Reading">{top}</section>'
    done = int(100 * progress.share)
    bar = (
        f'<div class="bar" role="progressbar" aria-label="Reading" aria-valuenow="{done}"'
        f' aria-valuemin="0" aria-valuemax="100"><i style="width:{done}%"></i></div>'
    )
    telling = sorted(progress.now, key=lambda one: not one.how_far)
    now = "".join(f"<li>{_now(one)}</li>" for one in telling[:MAX_NOW])
    if len(telling) > MAX_NOW:
        now += f"<li>and {counted(len(telling) - MAX_NOW, 'more document')}</li>"
    return (
        f'<section class="reading" aria-label="Reading">{top}{bar}'
        f'<p class="speed">{escape(_speed(progress))}</p>'
        f"{f'<ul class=now>{now}</ul>' if now else ''}</section>"
    )


def _totals(progress: Progress, documents: Sequence[DocumentRecord]) -> str:
    counts = {"ready": 0, "busy": 0, "warn": 0, "bad": 0, "other": 0}
    for document in documents:
        counts[tone_of(document)] += 1
    problems = counts["warn"] + counts["bad"]
    parts = [f"<b>{counts['ready']}</b> ready"]
    if counts["busy"]:
        pulse = "" if progress.is_paused else '<span class="pulse"></span>'
        parts.append(f"{pulse}<b>{counts['busy']}</b> in work")
    parts += [f"<b>{problems}</b> without text or refused"] if problems else []
    parts += [f"<b>{counts['other']}</b> others"] if counts["other"] else []
    return f'<p class="totals">{"".join(f"<span>{part}</span>" for part in parts)}</p>'


def _buttons(progress: Progress, documents: Sequence[DocumentRecord], is_admin: bool) -> str:
    out = ""
    if any(one.state in FAILED_STATES and one.may_change for one in documents):
        out += _button("retry-failed", "again", "Try all failed again")
    if is_admin and progress.is_paused:
        out += _button("resume-reading", "play", "Go on reading")
    elif is_admin and progress.num_waiting:
        out += _button("pause-reading", "pause", "Pause reading")
    return out


def _button(do: str, drawing: str, label: str) -> str:
    return (
        f'<button type="button" class="tool wide" data-do="{do}">{icon(drawing)}'
        f"<span>{label}</span></button>"
    )


def _speed(progress: Progress) -> str:
    parts = [f"{progress.num_done:,} of {progress.num_total:,} read"]
    if progress.num_done and not progress.is_paused:
        speed = f"{progress.documents_per_minute:g} documents"
        if progress.mb_per_minute:
            speed += f" and {progress.mb_per_minute:g} MB"
        parts.append(f"{speed} a minute")
    if progress.is_paused:
        parts.append("paused")
    elif progress.seconds_left:
        parts.append(f"about {_duration(progress.seconds_left)} left")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    return counted(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _now(one: Reading) -> str:
    stage = "Reading" if one.stage == "parsing" else "Indexing"
    how_far = f", {one.how_far}" if one.how_far else ""
    return f"{stage} <bdi>{escape(one.name)}</bdi>{how_far}"


# Folders -----------------------------------------------------------------------------------------


def folders_html(folders: Sequence[Folder], now: float) -> str:
    """The followed folders, for administrators; nothing where none is followed."""
    if not folders:
        return ""
    rows = "".join(f"<li>{_folder(folder, now)}</li>" for folder in folders)
    return (
        f'<details class="folders" data-keep="folders"><summary>{icon("folder")}'
        f"{counted(len(folders), 'followed folder')}</summary><ul>{rows}</ul></details>"
    )


def _folder(folder: Folder, now: float) -> str:
    looked = "is looked into now"
    if folder.scanned_at is not None:
        looked = f"looked into {_ago(now - folder.scanned_at)}"
    how = "watched" if folder.is_watched else "by hand"
    facts = f"{counted(folder.num_files, 'file')} · {how} · {looked}"
    problem = (
        f'<p class="reason bad"><strong>{escape(sentence_case(folder.problem))}</strong></p>'
        if folder.problem
        else ""
    )
    again = tool("sync-folder", f"Look into {folder.name} now", "again", folder=folder.id)
    return (
        f"<div><b><bdi>{escape(folder.path)}</bdi></b><span>{escape(facts)}</span>{problem}</div>"
        f"{again}"
    )


def _ago(seconds: float) -> str:
    for size_s, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size_s:
            return f"{counted(round(seconds / size_s), noun)} ago"
    return "just now"


# Pages -------------------------------------------------------------------------------------------


def pages_html(document: DocumentRecord, pages: Sequence[Page]) -> str:
    """A panel with one row for each page of a document."""
    name = escape(document.name)
    rows = "".join(_page(document, page) for page in pages)
    body = (
        '<table><thead><tr><th scope="col">Page</th><th scope="col">State</th>'
        f'<th scope="col" class="number">Characters</th></tr></thead><tbody>{rows}</tbody></table>'
        if pages
        else '<p class="quiet">Its pages are not known until it is read.</p>'
    )
    return (
        f'<section class="pages" tabindex="-1" aria-label="Pages of {name}"><header><h2>Pages of'
        f" <bdi>{name}</bdi></h2>{tool('close-pages', 'Close the pages', 'close')}</header>"
        f"{body}</section>"
    )


def _page(document: DocumentRecord, page: Page) -> str:
    tone, word = _PAGE_STATES[page.state]
    remark = (
        f'<span class="where">{escape(sentence_case(page.remark))}</span>' if page.remark else ""
    )
    url = f"/passage?document={escape(document.id)}&amp;page={page.page}"
    return (
        f'<tr><th scope="row"><a href="{url}" target="_blank" rel="noopener">{page.page}</a></th>'
        f'<td><span class="pill {tone}">{word}</span>{remark}</td>'
        f'<td class="number">{page.num_chars:,}</td></tr>'
    )
