"""Who may read what, told in plain Python sets: what the kit is compared with.

Knows no SQL and nothing of the kit. Every document holds one canary, a word that is in no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Person:
    is_admin: bool
    is_disabled: bool = False


@dataclass
class Shelf:
    """A collection. `grants`: 'everyone', ('person', id) or ('group', id) -> may write."""

    name: str
    owner: str | None
    grants: dict[object, bool] = field(default_factory=dict)


@dataclass
class Paper:
    """A document."""

    canary: str
    shelf: int
    added_by: str


@dataclass
class Oracle:
    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    shelves: dict[int, Shelf] = field(default_factory=dict)
    papers: dict[str, Paper] = field(default_factory=dict)

    def is_admin(self, who: str) -> bool:
        person = self.people.get(who)
        return person is not None and person.is_admin and not person.is_disabled

    def may_read(self, who: str, shelf: int) -> bool:
        return self._has(who, shelf, to_write=False)

    def may_write(self, who: str, shelf: int) -> bool:
        one = self.shelves[shelf]
        is_house = one.owner is None and self.is_admin(who)
        return self._has(who, shelf, to_write=True) or (is_house and self.may_read(who, shelf))

    def may_manage(self, who: str, shelf: int) -> bool:
        is_owner = self.shelves[shelf].owner == who and not self.people[who].is_disabled
        return is_owner or self.is_admin(who)

    def may_change(self, who: str, paper: str) -> bool:
        one = self.papers[paper]
        return self.may_read(who, one.shelf) and (
            one.added_by == who or self.may_write(who, one.shelf)
        )

    def _has(self, who: str, shelf: int, *, to_write: bool) -> bool:
        if who not in self.people or self.people[who].is_disabled:
            return False
        one = self.shelves[shelf]
        if one.owner == who:
            return True
        names: list[object] = ["everyone", ("person", who)]
        names += [("group", name) for name, members in self.groups.items() if who in members]
        return any(name in one.grants and (one.grants[name] or not to_write) for name in names)

    def readable(self, who: str) -> set[str]:
        """Ids of the documents that the person may read."""
        return {name for name, one in self.papers.items() if self.may_read(who, one.shelf)}

    def forget_group(self, group: str) -> None:
        del self.groups[group]
        for shelf in self.shelves.values():
            shelf.grants.pop(("group", group), None)

    def forget_person(self, who: str) -> None:
        del self.people[who]
        for members in self.groups.values():
            members.discard(who)
        for number in [n for n, one in self.shelves.items() if one.owner == who]:
            del self.shelves[number]
        for shelf in self.shelves.values():
            shelf.grants.pop(("person", who), None)
        for paper in self.papers.values():
            paper.added_by = "local" if paper.added_by == who else paper.added_by
