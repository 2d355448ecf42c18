"""The documentation is true: generated pages, links, commands, pictures and the changelog."""

from __future__ import annotations

import functools
import re
import shlex
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import kit

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Names that stand for a machine of the reader's, and the few outside pages that are linked to.
STANDS_FOR = {"127.0.0.1", "localhost", "gpu-host", "kit.example.org", "HOST"}
LINKED = {"keepachangelog.com", "semver.org"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def make_docs() -> types.ModuleType:
    loader = SourceFileLoader("make_docs", str(ROOT / "scripts" / "make-docs"))
    module = types.ModuleType("make_docs")
    module.__file__ = str(ROOT / "scripts" / "make-docs")
    exec(loader.get_code("make_docs"), module.__dict__)
    return module


def test_reference_pages_are_what_the_code_says(make_docs: types.ModuleType) -> None:
    """A reference page that differs from the code it describes is named."""
    assert [ids(path) for path in make_docs.find_stale()] == []


def test_reference_page_that_was_changed_is_stale(
    make_docs: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed word, and a missing page, make a reference page stale."""
    monkeypatch.setattr(make_docs, "REFERENCE", tmp_path)
    for name, text in make_docs.pages().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert make_docs.find_stale() == []
    changed = tmp_path / "cli.md"
    changed.write_text(changed.read_text("utf-8").replace("--port", "--prot"), encoding="utf-8")
    (tmp_path / "database.md").unlink()
    assert {path.name for path in make_docs.find_stale()} == {"cli.md", "database.md"}


def test_every_setting_is_explained(make_docs: types.ModuleType) -> None:
    """The page of settings has each of them; all but the plainest with a comment of the code."""
    from kit import config

    comments = make_docs.setting_comments(config)
    names = {name.split(".")[1] for name, value in comments.items() if not value}
    assert names - {"port", "max_answer_tokens", "temperature"} <= {
        "home", "web", "engine", "library", "answer", "origins",
    }  # fmt: skip


def without_code(text: str) -> str:
    """The text without code, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(path: Path) -> set[str]:
    """The names that headings give, as the usual renderers make them."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link inside the repository names a file that is there, and a heading that is in it."""
    for _, target in LINK.findall(without_code(page.read_text("utf-8"))):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        path = (page.parent / parts.path).resolve() if parts.path else page
        assert path.exists(), f"{ids(page)}: {target}"
        assert not parts.fragment or parts.fragment in anchors(path), f"{ids(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_no_page_shows_or_names_another_host(page: Path) -> None:
    """No picture comes from elsewhere, and the only outside addresses are a known few."""
    text = page.read_text("utf-8")
    for is_image, target in LINK.findall(text):
        assert not (is_image and urlsplit(target).scheme), f"{ids(page)}: {target}"
    assert not re.search(r"<(?:img|script|link|iframe)\b", without_code(text), re.IGNORECASE)
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s)`\"'<>]+", text)}
    assert {host for host in hosts if host} <= {h.lower() for h in STANDS_FOR | LINKED}


def test_every_page_is_on_the_shelf() -> None:
    """docs/README.md leads to every page of the documentation."""
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target).resolve() for _, target in LINK.findall(index.read_text("utf-8"))
    }
    shelved = {path for path in (ROOT / "docs").rglob("*.md") if path != index}
    assert {ids(path) for path in shelved - linked} == set()


def test_every_decision_has_its_parts() -> None:
    """A decision states its context, the options, the outcome and the consequences."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [
        f"{number:04}" for number in range(1, len(decisions) + 1)
    ]
    for path in decisions:
        assert {"context", "options", "outcome", "consequences"} <= anchors(path), ids(path)


def shown_commands(page: Path) -> Iterator[list[str]]:
    """The words of every `kit …` and `scripts/…` command that a page shows."""
    text = page.read_text("utf-8")
    lines = [
        line for language, code in FENCE.findall(text) if language == "sh"
        for line in code.replace("\\\n", " ").splitlines()
    ]  # fmt: skip
    lines += re.findall(r"`((?:kit|scripts/[a-z-]+) [^`\n]+)`", FENCE.sub("", text))
    for line in lines:
        for words in simple_commands(line):
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words and (words[0] in ("kit", ".venv/bin/kit") or words[0].startswith("scripts/")):
                yield words


def simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a shell line, as words; those given to `sh -c` too."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if not re.fullmatch(r"[|&;]+", token):
            words.append(token)
            continue
        yield words
        if "-c" in words[:-1] and "sh" in words:
            yield from simple_commands(words[-1])
        words = []


@functools.cache
def kit_command() -> Any:
    """All of the kit's commands."""
    import typer.main

    from kit.cli.app import app

    return typer.main.get_command(app)


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words after 'kit' name, and the words that are left."""
    command = kit_command()
    rest = list(words)
    while rest[:1] == ["--home"]:
        del rest[:2]
    if rest and rest[0].startswith("-"):
        return command, rest
    while rest and hasattr(command, "commands"):
        assert rest[0].rstrip(",") in command.commands, f"no command kit {' '.join(words)}"
        command = command.commands[rest.pop(0).rstrip(",")]
    return command, rest


def check_command(words: list[str]) -> None:
    """Raise AssertionError unless the command and each of its options exist."""
    if words[0].startswith("scripts/"):
        assert (ROOT / words[0]).is_file(), f"no script {words[0]}"
        if words[0] == "scripts/up":
            words = ["kit", "up", *words[1:]]
        else:
            return
    command, rest = find_command(words[1:])
    known = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help"}
    used = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert used <= known, f"{' '.join(words)}: no option {', '.join(sorted(used - known))}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_shown_exists(page: Path) -> None:
    """A command of the documentation is one of the kit's, with options that it has."""
    for words in shown_commands(page):
        check_command(words)


@pytest.mark.parametrize("wrong", ["kit dosc list", "kit up --prot 1", "scripts/upp --port 1"])
def test_wrong_command_is_noticed(wrong: str) -> None:
    """The check of commands refuses an unknown command, option or script."""
    with pytest.raises(AssertionError):
        check_command(wrong.split())


def test_changelog_begins_with_this_version() -> None:
    """The newest release of the changelog is the version of the kit."""
    releases = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert releases[0] == kit.__version__
