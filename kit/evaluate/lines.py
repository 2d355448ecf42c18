"""Files of one JSON value a line, for data that an administrator writes.

Knows lines, not what stands in them. Invariant: a line that is wrong is named, and stops nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.errors import Problem, UsageError


def read_values(path: Path, problems: list[Problem], *, hint: str) -> Iterator[tuple[str, Any]]:
    """(where, value) of every line that is not blank; what is no JSON is added to `problems`.

    Raises: UsageError with `hint` if the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path} cannot be read: {problem}", hint=hint) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            value = json.loads(line)
        except ValueError as problem:
            problems.append(Problem(where, f"no JSON: {problem}"))
        else:
            yield where, value
