"""The installed models that may run: of the right kind, whole, and not broken by their passport."""

from __future__ import annotations

from pathlib import Path

from kit.errors import ModelError
from kit.supply.passport_json import require_sound
from kit.supply.store import (
    InstalledModel,
    find_installed,
    list_installed,
    model_path,
    require_whole,
)

NO_RERANKER = "none"  # as a setting: rerank with no model, whatever is installed


def find_chat_file(home: Path, wanted: str) -> Path:
    """The GGUF file to run for `[engine] model`: an installed model's name or a path.

    Raises: ModelError if it is damaged, broken by its passport or no chat model, NotFound,
    UsageError. A path is taken as it is.
    """
    from kit.engine.gguf import read_gguf

    if wanted.endswith(".gguf") or "/" in wanted:
        path = Path(wanted).expanduser().absolute()
    else:
        model = find_installed(home, wanted)
        if model.kind != "chat":
            raise ModelError(
                f"{wanted} is an embedding model, it cannot answer",
                hint="choose a chat model: kit model list",
            )
        require_whole(home, model)
        require_sound(home, model)
        path = model_path(home, model)
    read_gguf(path)
    return path


def find_embedding_folder(home: Path, wanted: str) -> Path:
    """The folder of that installed embedding model.

    Raises: NotFound; ModelError if it is damaged, broken by its passport or no embedding model.
    """
    model = find_installed(home, wanted)
    if model.kind != "embedding":
        raise ModelError(f"{wanted} is not an embedding model", hint="choose one: kit model list")
    require_whole(home, model)
    require_sound(home, model)
    return model_path(home, model)


def find_reranker_folder(home: Path, wanted: str) -> Path | None:
    """The folder of that installed reranker; without a name of the one installed last, if any.

    "none" is none. Raises: NotFound; ModelError if it is damaged, broken by its passport or no
    reranker.
    """
    if wanted == NO_RERANKER:
        return None
    installed = [model for model in list_installed(home) if model.kind == "reranker"]
    if not wanted and not installed:
        return None
    model = find_installed(home, wanted) if wanted else max(installed, key=_age)
    if model.kind != "reranker":
        raise ModelError(f"{wanted} is not a reranker", hint="choose one: kit model list")
    require_whole(home, model)
    require_sound(home, model)
    return model_path(home, model)


def _age(model: InstalledModel) -> str:
    return model.installed_at
