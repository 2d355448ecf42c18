"""What a role may do. One rule per function, so that page, API and command line share it.

Knows roles, no documents. What a person may read is decided by the library, for the person alone.
"""

from __future__ import annotations

from kit.errors import AccessError
from kit.people.accounts import User


def require_may_share(user: User) -> None:
    """Raise AccessError unless the person may add documents that everyone here reads.

    Threat: a poisoned document in a shared collection changes what everybody is answered.
    """
    if not user.is_admin:
        raise AccessError(
            "only an administrator may add documents for everyone",
            hint="add them for yourself, or ask an administrator",
        )
