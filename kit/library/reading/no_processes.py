"""Forbid this process to make others, but not threads: a filter of system calls (seccomp).

The limit on processes (RLIMIT_NPROC) counts threads as well and does not bind root; this does
neither. Numbers: Linux's include/uapi, the same since each call exists.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_MACHINE, _AT_FLAGS = 0, 4, 16  # in the kernel's struct seccomp_data
_CLONE_THREAD = 0x00010000
_OTHER_ABI = 0x40000000  # x86-64's x32 calls begin here; no other machine has numbers so high

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class _Calls:
    """A machine's mark in the kernel (AUDIT_ARCH), and the numbers of its calls."""

    machine: int
    clone: int
    clone3: int
    forks: tuple[int, ...]


_MACHINES = {
    "x86_64": _Calls(0xC000003E, clone=56, clone3=435, forks=(57, 58)),
    "aarch64": _Calls(0xC00000B7, clone=220, clone3=435, forks=()),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid_processes() -> bool:
    """From now on this process and its threads make no process; False if the kernel cannot.

    Needs PR_SET_NO_NEW_PRIVS to be set, unless root asks.
    """
    calls = _MACHINES.get(os.uname().machine)
    if calls is None:
        return False
    lines = _filter(calls)
    packed = b"".join(struct.pack("=HBBI", *line) for line in lines)
    program = _Program(len(lines), packed)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(calls: _Calls) -> Sequence[tuple[int, int, int, int]]:
    """(code, lines to skip if so, lines to skip if not, value) of each instruction."""
    lines = [
        (_LOAD, 0, 0, _AT_MACHINE),
        (_JUMP_EQUAL, 1, 0, calls.machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        *_refuse_if(_JUMP_AT_LEAST, _OTHER_ABI, errno.EPERM),
        # Its flags lie in memory, out of a filter's sight; without it the C library takes clone.
        *_refuse_if(_JUMP_EQUAL, calls.clone3, errno.ENOSYS),
    ]
    for fork in calls.forks:
        lines += _refuse_if(_JUMP_EQUAL, fork, errno.EPERM)
    lines += [
        (_JUMP_EQUAL, 1, 0, calls.clone),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _AT_FLAGS),
        (_JUMP_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return lines


def _refuse_if(jump: int, value: int, error: int) -> tuple[tuple[int, int, int, int], ...]:
    return (jump, 0, 1, value), (_RETURN, 0, 0, _REFUSE | error)
