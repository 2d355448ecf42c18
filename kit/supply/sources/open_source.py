"""The source that a line of text names: hf://, https://, pypi:// or a folder's path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kit.errors import UsageError
from kit.supply.sources.source import Report, Source


def _quiet(_what: str, _done: int, _total: int | None) -> None:
    """No report."""


def open_source(
    spec: str,
    *,
    revision: str = "",
    environ: Mapping[str, str],
    work: Path,
    read_timeout_s: float = 30.0,
    on_report: Report = _quiet,
) -> Source:
    """The source of that name, to be closed by who opened it; nothing is asked of it yet.

    `revision` is a commit, branch or tag of the hub; `environ` gives HF_ENDPOINT, HF_TOKEN and
    pip's settings; `work` is a folder in which a source may keep what it needs meanwhile (the
    wheel of a package). Raises: UsageError for a text that names no source.
    """
    if spec.startswith("hf://"):
        from kit.supply.sources.hub import HubSource

        return HubSource(spec, revision=revision, environ=environ, read_timeout_s=read_timeout_s)
    if spec.startswith("pypi://"):
        from kit.supply.sources.pypi import PypiSource

        return PypiSource(spec, environ=environ, work=work, on_report=on_report)
    if spec.startswith(("https://", "http://")):
        from kit.supply.sources.mirror import MirrorSource

        return MirrorSource(spec, read_timeout_s=read_timeout_s)
    if "://" not in spec or spec.startswith("file://"):
        from kit.supply.sources.folder import FolderSource

        return FolderSource(spec)
    raise UsageError(
        f"{spec!r} names no source of models",
        hint="use hf://owner/repository, https://host/folder/, pypi://package==version#path "
        "or the path of a folder",
    )
