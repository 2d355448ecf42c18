"""The readable page: every figure is there, and nothing on it is markup of a model's making."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kit.supply.passport import Passport
from kit.supply.passport_json import parse_passport
from kit.supply.passport_page import LICENCE_FILE, escape, render_page, verdict_line, write_pages
from kit.supply.smoke.report import SmokeReport
from tests.supply.made_passport import PASSPORT

FENCE = re.compile(r"^(`{3,})text\n(.*?)^\1$\n?", re.MULTILINE | re.DOTALL)
HOSTILE = [
    "```\n# A heading\n[click](https://outside.example)",
    "````\n<img src=x>\n```",
    "~~~\n| a | b |\n|---|---|",
    "`" * 12,
]


def with_answer(text: str) -> Passport:
    assert PASSPORT.smoke is not None
    first, *rest = PASSPORT.smoke.answers
    answers = (replace(first, answer=text, why=text), *rest)
    return replace(PASSPORT, smoke=SmokeReport(answers))


def test_every_figure_is_on_the_page() -> None:
    """Digests, versions, licence, memory, speed, loss, each question with its answer."""
    page = render_page(PASSPORT)
    assert PASSPORT.smoke is not None
    said = ["ab" * 32, "cd" * 32, "ef" * 32, "12" * 32, "0.3.36", "0c1e570", "MIT", LICENCE_FILE]
    said += [
        "41.5",
        "7.2",
        "8 threads",
        "icelake",
        "others kept 0.3 cores busy",
        "7.4321",
        "7.3000",
        "0.012346",
        "91.40%",
    ]
    said += ["a loop within a loop", "It is the template its card pins", "4.7 GiB resident"]
    said += [answer.answer for answer in PASSPORT.smoke.answers if answer.asks]
    assert [figure for figure in said if figure not in page] == []
    assert page.startswith("# Passport of Office 8B\n")
    assert page.endswith("\n")
    assert "\n\n\n" not in page


def test_what_was_not_measured_says_how() -> None:
    """A plain passport names the command that measures; no figure is made up."""
    page = render_page(replace(PASSPORT, loss=None, speed=None, smoke=None))
    assert "not measured yet: kit model check office-8b" in page
    assert "tokens per second" not in page
    assert "KL" not in page


def test_a_model_that_lost_its_template_or_licence_says_so() -> None:
    """Another template than the card's and a licence without its text stand out."""
    template = PASSPORT.template
    assert template is not None
    odd = replace(
        PASSPORT,
        template=replace(template, pinned_sha256="34" * 32, findings=None),
        licence=replace(PASSPORT.licence, text="", text_from="not in the repository"),
    )
    page = render_page(odd)
    assert "**It is not the template its card pins**" in page
    assert "Its safety was not checked" in page
    assert "The text: not in the repository" in page


@pytest.mark.parametrize("text", HOSTILE)
def test_no_answer_becomes_markup(text: str) -> None:
    """Threat: a model whose answer draws a table, a picture or a link into the page."""
    page = render_page(with_answer(text))
    fenced = [match[2] for match in FENCE.finditer(page)]
    assert any(block.rstrip("\n") == text for block in fenced)
    outside = FENCE.sub("", page)
    assert not re.search(r"(?<!\\)\]\(https", outside)
    assert not re.search(r"(?<!\\)<img", outside)
    assert re.findall(r"^#+ A heading", outside, re.MULTILINE) == []


def test_escaped_text_is_one_line_without_markup() -> None:
    """Every letter that Markdown would read is escaped; line breaks and controls become spaces."""
    assert escape("a|b\n*c*") == r"a\|b \*c\*"
    assert escape("x\x1b[2J") == r"x \[2J"


def test_the_verdict_is_one_sentence() -> None:
    """Sound with a count, broken with a warning, or not measured with the command."""
    assert verdict_line(PASSPORT) == "sound; 13 of 13 smoke questions passed"
    assert PASSPORT.smoke is not None
    broken = replace(PASSPORT.smoke.answers[0], outcome="broken", why="empty")
    report = SmokeReport((broken, *PASSPORT.smoke.answers[1:]))
    assert "broken, do not use it" in verdict_line(replace(PASSPORT, smoke=report))
    assert "kit model check office-8b" in verdict_line(replace(PASSPORT, smoke=None))


def test_three_files_are_written(tmp_path: Path) -> None:
    """The record, the page and the licence's text; no licence file where there is no text."""
    write_pages(PASSPORT, tmp_path / "a")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "passport.json", "passport.md", LICENCE_FILE,
    }  # fmt: skip
    assert parse_passport((tmp_path / "a" / "passport.json").read_text("utf-8")) == PASSPORT
    assert (tmp_path / "a" / LICENCE_FILE).read_text("utf-8") == PASSPORT.licence.text
    silent = replace(PASSPORT, licence=replace(PASSPORT.licence, text=""))
    write_pages(silent, tmp_path / "b")
    assert not (tmp_path / "b" / LICENCE_FILE).exists()
