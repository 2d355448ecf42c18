"""Which llama.cpp this is, for records of what made or measured a model.

Reads version numbers; of native code it loads only the base library, which computes nothing.
"""

from __future__ import annotations

import ctypes
import importlib.metadata

from kit.engine.cpu.variants import lib_folder

UNKNOWN = "unknown"


def llama_cpp_python_version() -> str:
    return importlib.metadata.version("llama-cpp-python")


def llama_cpp_commit() -> str:
    """The commit as it was compiled in, '-dirty' if files differed from it; 'unknown' if not."""
    try:
        base = ctypes.CDLL(str(lib_folder() / "libggml-base.so.0"))
        base.ggml_commit.restype = ctypes.c_char_p
        return (base.ggml_commit() or b"").decode("ascii", "replace") or UNKNOWN
    except (OSError, AttributeError):
        return UNKNOWN
