"""What a process asks of Linux for itself: to end with its parent, and to reach no network.

Ground: standard library only. For a child, before it does anything else; both need no rights.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """From now on this process is killed when its parent dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(1)


def leave_network() -> bool:
    """From now on this process reaches no network; False where the kernel does not allow it."""
    allowed = (
        _libc.unshare(flags) == 0 for flags in (_CLONE_NEWUSER | _CLONE_NEWNET, _CLONE_NEWNET)
    )
    return any(allowed)
