"""Everything that can go wrong for a user, as one tree of exceptions.

An error says what happened, where, what was expected and observed, and what to do next. It knows
nothing about terminals or HTTP: the command line and the web page translate it. Each class owns
its exit code; no two share one (tests/test_errors.py).

    KitError                     1
    ├── UsageError               2   a wrong flag, name or value on the command line or in a request
    ├── ConfigError              3   kit.toml, KIT_* or a flag has a wrong key or value
    ├── MachineError             4   this machine lacks something: memory, a tool, a permission
    │   ├── DiskFull             5
    │   ├── PortInUse            6
    │   └── AlreadyRunning       7   another kit owns this KIT_HOME
    ├── FetchError               10  a download failed or did not have the expected digest
    ├── ModelError               11  a model file is damaged, missing or of the wrong kind
    ├── EngineError              12  the engine refused or failed a request
    │   ├── EngineUnavailable    13  it is starting, restarting or unreachable
    │   ├── ContextOverflow      14  the prompt does not fit the model's context
    │   └── EngineTimeout        15  the answer was not ready in the time that was given
    ├── LibraryError             20
    │   ├── DocumentRefused      21  a file cannot become a document (broken, encrypted, large …)
    │   └── NotFound             22  no such document, conversation, account that you may see
    ├── EmbedError               23  the embedding model is missing, loading, of another dimension
    ├── AccessError              30  not signed in, not allowed, or throttled
    └── BundleError              40  a bundle is damaged, of another key, expired or for elsewhere
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it is and what was found there."""

    where: str
    what: str


class KitError(Exception):
    """Base of all errors a user can cause or must act on.

    ``code`` is the stable name used in JSON answers; ``exit_code`` the process's exit status.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500

    def __init__(
        self, message: str, *, hint: str | None = None, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)

    def lines(self) -> list[str]:
        """The error as a person reads it, one line per problem, the next step last."""
        width = max((len(problem.where) for problem in self.problems), default=0)
        count = f" ({len(self.problems)} problems)" if len(self.problems) > 1 else ""
        out = [f"error: {self.message}{count}"]
        out += [f"  {problem.where.ljust(width)}   {problem.what}" for problem in self.problems]
        return out + ([f"hint: {self.hint}"] if self.hint else [])

    def as_dict(self) -> dict[str, object]:
        """The error as JSON carries it: ``{"message", "code", "hint", "problems"}``."""
        return {
            "message": self.message,
            "code": self.code,
            "hint": self.hint,
            "problems": [{"where": p.where, "what": p.what} for p in self.problems],
        }


class UsageError(KitError):
    exit_code, code, http_status = 2, "usage", 400


class ConfigError(KitError):
    exit_code, code = 3, "config"


class MachineError(KitError):
    exit_code, code = 4, "machine"


class DiskFull(MachineError):
    exit_code, code, http_status = 5, "disk_full", 507


class PortInUse(MachineError):
    exit_code, code = 6, "port_in_use"


class AlreadyRunning(MachineError):
    exit_code, code = 7, "already_running"


class FetchError(KitError):
    exit_code, code = 10, "fetch"


class ModelError(KitError):
    exit_code, code = 11, "model"


class EngineError(KitError):
    exit_code, code, http_status = 12, "engine", 502


class EngineUnavailable(EngineError):
    exit_code, code, http_status = 13, "engine_unavailable", 503


class ContextOverflow(EngineError):
    exit_code, code, http_status = 14, "context_overflow", 400


class EngineTimeout(EngineError):
    exit_code, code, http_status = 15, "engine_timeout", 504


class LibraryError(KitError):
    exit_code, code = 20, "library"


class DocumentRefused(LibraryError):
    exit_code, code, http_status = 21, "document_refused", 422


class NotFound(LibraryError):
    exit_code, code, http_status = 22, "not_found", 404


class EmbedError(KitError):
    exit_code, code, http_status = 23, "embed", 503


class AccessError(KitError):
    """``status`` is 401 (not signed in), 403 (not allowed) or 429 (throttled).

    With 429, ``retry_after_s`` says when to try again.
    """

    exit_code, code = 30, "access"

    def __init__(
        self,
        message: str,
        *,
        status: int = 403,
        hint: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s


class BundleError(KitError):
    exit_code, code = 40, "bundle"
