"""Who owns what a browser invented or loaded into Gradio: session hashes, events, uploaded files.

Gradio 6.31 trusts whoever knows a session hash (made with Math.random in the browser), an event id
or a path in its cache: one signed-in person could read another's token stream or upload. Knows no
HTTP. Invariants: the first person who uses a hash owns it as long as the kit runs; one person's
flood never pushes out what another owns.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any

MAX_PER_PERSON = 2000
_HASH = re.compile(r"[A-Za-z0-9_-]{4,64}", re.ASCII)


class Owned:
    """Names and the one person each belongs to, at most `max_per_person` each, oldest dropped."""

    def __init__(self, max_per_person: int = MAX_PER_PERSON) -> None:
        self._owner: dict[str, str] = {}
        self._names: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._max_per_person = max_per_person

    def claim(self, name: str, user_id: str) -> bool:
        """The name is this person's from now on; False if it is another's already."""
        if self._owner.setdefault(name, user_id) != user_id:
            return False
        names = self._names[user_id]
        names[name] = None
        names.move_to_end(name)
        if len(names) > self._max_per_person:
            del self._owner[names.popitem(last=False)[0]]
        return True

    def is_owner(self, name: str, user_id: str) -> bool:
        return self._owner.get(name) == user_id


class Ownership:
    """Everything of Gradio that belongs to somebody."""

    def __init__(self) -> None:
        self.hashes = Owned()
        self.events = Owned()
        self._files: defaultdict[str, set[str]] = defaultdict(set)

    def claim_hash(self, session_hash: object, user_id: str) -> bool:
        """Whether this person may use the hash. What Gradio's page would not make is nobody's."""
        if not isinstance(session_hash, str) or not _HASH.fullmatch(session_hash):
            return False
        return self.hashes.claim(session_hash, user_id)

    def add_files(self, paths: list[str], user_id: str) -> None:
        """The person loaded these; the same bytes under the same name may be several people's."""
        for path in paths:
            self._files[path].add(user_id)

    def may_use_files(self, body: object, user_id: str) -> bool:
        """Whether every file a request refers to was loaded by this person."""
        return all(user_id in self._files.get(path, ()) for path in file_paths(body))


def file_paths(value: Any) -> Iterator[str]:
    """Every path or address in a Gradio payload: {"path": ...} at any depth.

    Threat: a payload that names another person's upload, a file of the server, or an address that
    Gradio would fetch.
    """
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            path = item.get("path")
            if isinstance(path, str):
                yield path
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
