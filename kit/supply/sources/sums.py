"""SHA256SUMS: the digests of a folder's files, as sha256sum writes them."""

from __future__ import annotations

import re

from kit.errors import FetchError, Problem
from kit.supply.sources.source import RemoteFile

NAME = "SHA256SUMS"
MAX_BYTES = 4 << 20
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?(.+)")


def parse_sums(text: str, where: str) -> tuple[RemoteFile, ...]:
    """One file per line. Raises: FetchError naming every line of another form, up to five."""
    files: dict[str, RemoteFile] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if match := _LINE.fullmatch(line):
            files[match[2]] = RemoteFile(match[2], sha256=match[1].lower())
        elif len(problems) < 5:
            problems.append(Problem(f"line {number}", f"not 'DIGEST  NAME': {line[:60]!r}"))
    if problems:
        raise FetchError(
            f"{where} is not a list of digests",
            problems=problems,
            hint="write it anew where the files are right: sha256sum * > SHA256SUMS",
        )
    return tuple(files.values())
