"""Accounts: who may sign in, under which name and role.

Knows nothing of HTTP and of documents. Invariants: 'local', the one user of a loopback kit, cannot
sign in, be changed or be removed; a password change or a disabled account ends every session of it
in the same transaction.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Literal, cast

from kit.database import Database, Row
from kit.errors import AccessError, NotFound, UsageError
from kit.people import passwords
from kit.people.audit import now_text

Role = Literal["admin", "staff"]
ROLES: tuple[Role, ...] = ("admin", "staff")
LOCAL_USER_ID = "local"
# ASCII only: two names that look alike on a screen are never two accounts.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class User:
    """A person as the rest of the kit sees one."""

    id: str
    name: str
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


LOCAL_USER = User(LOCAL_USER_ID, "local", "admin")


class Accounts:
    """The accounts of one KIT_HOME."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, password: str, role: str = "staff") -> User:
        """A new account that can sign in at once. Raises UsageError naming the broken rule."""
        check_name(name)
        _check_role(role)
        passwords.check_rules(name, password)
        user = User(secrets.token_hex(8), name, cast(Role, role))
        password_hash = passwords.hash_password(password)
        with self._database.write() as connection:
            if list(connection.execute("SELECT 1 FROM users WHERE name = ?", (name,))):
                raise UsageError(
                    f"there is already an account {name!r}",
                    hint=f"to give it another password: kit user password {name}",
                )
            connection.execute(
                "INSERT INTO users (id, name, role, password_hash, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (user.id, user.name, user.role, password_hash, now_text()),
            )
        return user

    def get(self, user_id: str) -> User:
        """The account with this id. Raises NotFound."""
        row = self._database.row("SELECT id, name, role FROM users WHERE id = ?", (user_id,))
        if row is None:
            raise NotFound("no such account", hint="see the accounts: kit user list")
        return _user(row)

    def find(self, name: str) -> User:
        """The account with this name, in upper or lower case. Raises NotFound."""
        row = self._database.row("SELECT id, name, role FROM users WHERE name = ?", (name,))
        if row is None:
            raise NotFound(f"no account {name!r}", hint="see the accounts: kit user list")
        return _user(row)

    def list(self) -> list[User]:
        """All accounts but 'local', by name."""
        rows = self._database.rows(
            "SELECT id, name, role FROM users WHERE id != ? ORDER BY name", (LOCAL_USER_ID,)
        )
        return [_user(row) for row in rows]

    def is_disabled(self, user_id: str) -> bool:
        row = self._database.row("SELECT disabled FROM users WHERE id = ?", (user_id,))
        return bool(row and row[0])

    def set_password(self, user_id: str, password: str) -> None:
        """The account has this password, and every session of it is over."""
        user = self._changeable(user_id)
        passwords.check_rules(user.name, password)
        password_hash = passwords.hash_password(password)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE users SET password_hash = ? WHERE id = ?", (password_hash, user_id)
            )
            connection.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))

    def disable(self, user_id: str, *, is_disabled: bool = True) -> None:
        """The account cannot sign in and every session of it is over; or it may sign in again."""
        self._changeable(user_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE users SET disabled = ? WHERE id = ?", (int(is_disabled), user_id)
            )
            connection.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))

    def remove(self, user_id: str) -> None:
        """The account is gone, with its conversations, its empty collections, what was shared with
        it and its place in groups; what it added to other collections stays.

        Raises: UsageError while it owns collections with documents.
        """
        user = self._changeable(user_id)
        with self._database.write() as connection:
            num_private = next(
                connection.execute(
                    "SELECT count(*) FROM documents JOIN collections c ON c.id = collection_id"
                    " WHERE c.owner_id = ?",
                    (user_id,),
                )
            )[0]
            if num_private:
                raise UsageError(
                    f"{user.name} owns collections that hold documents: {num_private}",
                    hint=f"hand them on: kit collection give {user.name}/NAME PERSON; or close the"
                    f" account and keep them: kit user disable {user.name}",
                )
            connection.execute(
                "UPDATE documents SET added_by = ? WHERE added_by = ?", (LOCAL_USER_ID, user_id)
            )
            connection.execute("DELETE FROM users WHERE id = ?", (user_id,))

    def check_password(self, name: str, password: str) -> User:
        """The account this name and password open.

        Raises: AccessError 401, in the same words and after the same time whether the name is
        unknown, the account disabled or the password wrong.
        """
        row = self._database.row(
            "SELECT id, name, role, password_hash, disabled FROM users WHERE name = ?", (name,)
        )
        stored = row[3] if row and not row[4] else None
        if not passwords.matches(password, stored) or row is None:
            raise AccessError("the name or the password is not right", status=401)
        return _user(row)

    def has_passwords(self) -> bool:
        """Whether anyone at all could sign in."""
        return bool(
            self._database.row(
                "SELECT 1 FROM users WHERE password_hash IS NOT NULL AND disabled = 0 LIMIT 1"
            )
        )

    def _changeable(self, user_id: str) -> User:
        if user_id == LOCAL_USER_ID:
            raise UsageError("the account 'local' belongs to this machine and cannot be changed")
        return self.get(user_id)


def check_name(name: str, what: str = "an account") -> None:
    """Raises: UsageError unless this may be the name of an account, or of what `what` says."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of {what}",
            hint="use up to 64 letters a-z, digits and . _ - @, beginning with a letter or a digit",
        )


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UsageError(f"no role {role!r}", hint=f"the roles are: {', '.join(ROLES)}")


def _user(row: Row) -> User:
    return User(row[0], row[1], row[2])
