"""Settings: defaults < the bundle's < kit.toml < KIT_* environment < flags, with their origins.

Knows the names, types and limits of settings, not what they do. An unknown key is an error with a
suggestion, so a mistyped setting never passes silently.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kit.errors import ConfigError, Problem
from kit.release import bundled_settings, serving_home


@dataclass(frozen=True)
class WebSettings:
    """The page and its API."""

    host: str = "127.0.0.1"  # address to listen on; any but loopback needs accounts
    port: int = 7860
    max_upload_mb: int = 200  # largest single file a person may load
    session_idle_minutes: int = 120  # signed out after this long without a request
    session_hours: int = 12  # signed out after this long in any case
    certfile: str = ""  # path of a TLS certificate (PEM); with keyfile the page is https
    keyfile: str = ""  # path of its private key


@dataclass(frozen=True)
class EngineSettings:
    """The language model."""

    url: str = ""  # another OpenAI-compatible server, e.g. http://gpu-host:8000/v1; empty = our own
    api_key: str = ""  # sent to `url` as a bearer token
    model: str = ""  # name of an installed model or path of a GGUF file; empty = the starter model
    ctx: int = 8192  # context of one conversation in tokens, at most what the model was trained for
    parallel: int = 4  # sequences that run at the same time
    threads: int = 0  # 0 = as many as measured best here, at most one per physical core
    cache_mb: int = 0  # memory for what was read before; 0 = a quarter of the free, at most 4096
    gpu_layers: int = 999  # the most that go to a GPU, where llama.cpp is built for one; 0 = none


@dataclass(frozen=True)
class LibrarySettings:
    """How documents are read and cut."""

    embedding_model: str = ""  # name of an installed embedding model; empty = the starter model
    reranker_model: str = ""  # name of an installed reranker; empty = the newest; none = without
    rerank_budget_s: float = 2.0  # the longest that reranking may hold up a search, in seconds
    chunk_tokens: int = 200  # target size of a chunk in tokens of the embedding model
    parse_timeout_s: int = 120  # a file that takes longer to read is refused
    parse_memory_mb: int = 2048  # a file that needs more memory to read is refused
    sync_minutes: int = 15  # how often the running kit looks into watched folders; 0 = never
    ocr_languages: tuple[str, ...] = ("eng",)  # of scans, as tesseract names them; [] = not read


@dataclass(frozen=True)
class AnswerSettings:
    """How a question is answered."""

    top_k: int = 5  # passages given to the model
    max_prompt_tokens: int = 1500  # budget for system text, passages, history and question
    max_document_tokens: int = 4000  # the same budget where one document is asked and fits whole
    max_answer_tokens: int = 400
    temperature: float = 0.0


@dataclass(frozen=True)
class Config:
    """All settings of one run. `origins` maps "section.key" to where its value came from."""

    home: Path
    web: WebSettings = field(default_factory=WebSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    library: LibrarySettings = field(default_factory=LibrarySettings)
    answer: AnswerSettings = field(default_factory=AnswerSettings)
    origins: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, Any, str]]:
        """Every setting as (name, value, origin), in the order of the reference page."""
        out: list[tuple[str, Any, str]] = [
            ("home", str(self.home), self.origins.get("home", "default"))
        ]
        for section in SECTIONS:
            values = getattr(self, section)
            for item in fields(values):
                name = f"{section}.{item.name}"
                out.append((name, getattr(values, item.name), self.origins.get(name, "default")))
        return out


SECTIONS = ("web", "engine", "library", "answer")
_SECTION_TYPES: dict[str, type] = {
    "web": WebSettings,
    "engine": EngineSettings,
    "library": LibrarySettings,
    "answer": AnswerSettings,
}
# Environment variables that share the prefix but are not settings.
_NOT_SETTINGS = {
    *("KIT_HOME", "KIT_RUN_TOKEN", "KIT_TEST_HOME", "KIT_PYTHON", "KIT_BUNDLE_PASSWORD"),
}
_NAMES = {
    f"{section}.{item.name}": item
    for section, kind in _SECTION_TYPES.items()
    for item in dataclasses.fields(kind)
}


def default_home(environ: Mapping[str, str]) -> Path:
    """KIT_HOME, else where the installation keeps its data, else the XDG data folder."""
    if environ.get("KIT_HOME"):
        return Path(environ["KIT_HOME"]).expanduser().absolute()
    if installed := serving_home():
        return installed
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")) / ".local/share")
    return Path(data).expanduser().absolute() / "kit"


def load_config(
    flags: Mapping[str, Any] | None = None,
    *,
    home: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The settings of this run.

    `flags` maps "section.key" to a value; None values are flags that were not given.
    Raises: ConfigError naming every unknown key and every wrong value at once.
    """
    environ = os.environ if environ is None else environ
    origins: dict[str, str] = {}
    if home is not None:
        origins["home"] = "flag --home"
    elif environ.get("KIT_HOME"):
        origins["home"] = "environment KIT_HOME"
    elif serving_home():
        origins["home"] = "the installation"
    home = home.expanduser().absolute() if home else default_home(environ)

    problems: list[Problem] = []
    values: dict[str, Any] = {}
    bundled = bundled_settings()
    layers = [
        _from_file(bundled, problems) if bundled else {},
        _from_file(home / "kit.toml", problems),
        _from_environ(environ),
        {
            name: (value, f"flag {name}")
            for name, value in (flags or {}).items()
            if value is not None
        },
    ]
    for layer in layers:
        for name, (value, origin) in layer.items():
            if name not in _NAMES:
                problems.append(Problem(origin, f"unknown setting {name!r}{_suggestion(name)}"))
                continue
            try:
                values[name] = _convert(name, value)
            except ValueError as problem:
                problems.append(Problem(origin, f"{name}: {problem}"))
            origins[name] = origin
    if problems:
        raise ConfigError(
            "the settings are not right", problems=problems, hint="see every setting: kit config"
        )
    sections = {
        section: kind(
            **{n.split(".")[1]: v for n, v in values.items() if n.startswith(section + ".")}
        )
        for section, kind in _SECTION_TYPES.items()
    }
    return Config(home=home, origins=origins, **sections)


def read_settings(path: Path) -> dict[str, dict[str, Any]]:
    """Section -> key -> value of a kit.toml. Raises: ConfigError naming everything wrong in it."""
    problems: list[Problem] = []
    found: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        raise ConfigError(f"{path} is not there", hint="name a file such as kit.toml")
    for name, (value, origin) in _from_file(path, problems).items():
        section, _, key = name.partition(".")
        try:
            if name not in _NAMES:
                raise ValueError(f"unknown setting{_suggestion(name)}")
            found.setdefault(section, {})[key] = _convert(name, value)
        except ValueError as problem:
            problems.append(Problem(origin, f"{name}: {problem}"))
    if problems:
        raise ConfigError("the settings are not right", problems=problems, hint="see: kit config")
    return found


def _from_file(path: Path, problems: list[Problem]) -> dict[str, tuple[Any, str]]:
    if not path.is_file():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
        problems.append(Problem(str(path), str(problem)))
        return {}
    out: dict[str, tuple[Any, str]] = {}
    for section, content in document.items():
        if not isinstance(content, dict):
            problems.append(Problem(str(path), f"{section!r} stands outside a [section]"))
            continue
        out |= {f"{section}.{key}": (value, str(path)) for key, value in content.items()}
    return out


def _from_environ(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    out: dict[str, tuple[Any, str]] = {}
    for variable, value in environ.items():
        if variable.startswith("KIT_") and variable not in _NOT_SETTINGS:
            section, _, key = variable.removeprefix("KIT_").lower().partition("_")
            out[f"{section}.{key}"] = (value, f"environment {variable}")
    return out


def _convert(name: str, value: Any) -> Any:
    default: Any = _NAMES[name].default
    if isinstance(default, tuple):
        return _names(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"expected {type(default).__name__}, observed {value!r}")
    try:
        converted = type(default)(value)
    except ValueError:
        raise ValueError(f"expected {type(default).__name__}, observed {value!r}") from None
    if isinstance(converted, (int, float)) and converted < 0:
        raise ValueError(f"expected zero or more, observed {value!r}")
    if name == "web.port" and not 0 <= converted <= 65535:
        raise ValueError(f"expected a port up to 65535, observed {value!r}")
    return converted


def _names(value: Any) -> tuple[str, ...]:
    """A list of plain words: ["eng", "afr"] in a file, eng,afr or eng+afr in the environment."""
    found = re.split(r"[,+\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)):
        raise ValueError(f'expected a list such as ["eng"], observed {value!r}')
    names = tuple(one for one in found if one != "")
    for one in names:
        if not isinstance(one, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,30}", one):
            raise ValueError(f'expected names such as "eng" or "chi_sim", observed {one!r}')
    return names


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, [*_NAMES], n=1)
    return f", did you mean {close[0]!r}?" if close else ""
