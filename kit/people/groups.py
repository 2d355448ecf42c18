"""Groups of people, to share collections with. Every change stands in the audit log.

Knows accounts, no collection. Invariants: a group that is removed, and a person who leaves one,
have from then on no right that came from it (the database's references see to that).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from kit.database import Database
from kit.errors import NotFound, UsageError
from kit.people import audit
from kit.people.accounts import User, check_name


@dataclass(frozen=True)
class Group:
    """A group as the rest of the kit sees one."""

    id: str
    name: str
    members: tuple[str, ...]
    """Names of accounts, in order."""


class Groups:
    """The groups of one KIT_HOME. `actor` is the id of the person who changes something."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, *, actor: str) -> Group:
        """A new group without members. Raises: UsageError naming the broken rule."""
        check_name(name, "a group")
        group = Group(secrets.token_hex(8), name, ())
        with self._database.write() as connection:
            if list(connection.execute("SELECT 1 FROM user_groups WHERE name = ?", (name,))):
                raise UsageError(f"there is already a group {name!r}")
            connection.execute(
                "INSERT INTO user_groups (id, name, created_at) VALUES (?, ?, ?)",
                (group.id, name, audit.now_text()),
            )
            audit.append(connection, actor, "group.add", name)
        return group

    def find(self, name: str) -> Group:
        """The group with this name, in upper or lower case. Raises: NotFound."""
        found = [group for group in self.list() if group.name.lower() == name.lower()]
        if not found:
            raise NotFound(f"no group {name!r}", hint="see the groups: kit group list")
        return found[0]

    def list(self) -> list[Group]:
        """All groups, by name."""
        rows = self._database.rows(
            "SELECT g.id, g.name, u.name FROM user_groups g LEFT JOIN group_members m"
            " ON m.group_id = g.id LEFT JOIN users u ON u.id = m.user_id ORDER BY g.name, u.name"
        )
        members: dict[tuple[str, str], list[str]] = {}
        for group_id, name, member in rows:
            members.setdefault((group_id, name), []).extend([member] if member else [])
        return [Group(*key, tuple(names)) for key, names in members.items()]

    def remove(self, group: Group, *, actor: str) -> None:
        """The group is gone, with what was shared with it."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM user_groups WHERE id = ?", (group.id,))
            audit.append(connection, actor, "group.remove", group.name)

    def add_member(self, group: Group, user: User, *, actor: str) -> None:
        """The person reads what is shared with the group. Raises: UsageError if they do already."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO group_members (group_id, user_id) VALUES (?, ?)",
                (group.id, user.id),
            )
            if connection.changes() == 0:
                raise UsageError(f"{user.name} is in the group {group.name} already")
            audit.append(connection, actor, "group.add_member", group.name, user.name)

    def remove_member(self, group: Group, user: User, *, actor: str) -> None:
        """The person has nothing of the group's any more. Raises: NotFound if they had not."""
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM group_members WHERE group_id = ? AND user_id = ?", (group.id, user.id)
            )
            if connection.changes() == 0:
                raise NotFound(f"{user.name} is not in the group {group.name}")
            audit.append(connection, actor, "group.remove_member", group.name, user.name)
