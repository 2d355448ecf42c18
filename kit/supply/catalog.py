"""Model cards: what the kit knows about each model before a byte of it is here.

Knows the cards' format (models/*.toml) and no network and no store. Invariant: a card holds only
what it was given; a fact that is not known is None, and an unknown key is an error.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from kit.errors import ModelError, NotFound, Problem, UsageError
from kit.files import safe_join
from kit.supply.quant_types import BITS_PER_WEIGHT

Kind = Literal["chat", "embedding", "reranker"]
Pooling = Literal["mean", "cls", "last"]

COMPUTE_BYTES = 512 << 20
"""Activations, tokenizer and the process itself: a flat allowance, not a measurement."""

_TUPLES = ("languages", "fetch", "reasoning_tags")

STARTER_CHAT = "smollm2-135m"
STARTER_EMBEDDING = "all-minilm-l6-v2"


@dataclass(frozen=True)
class ModelFile:
    """One file of a model as its card pins it."""

    path: str
    """Relative to the model's folder."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ModelCard:
    """One model. None = not known, never a guess."""

    name: str
    kind: Kind
    title: str
    source: str
    """'pypi://package==version#path inside the wheel', 'hf://owner/repository' on the hub,
    'https://host/folder/' on a mirror, or a folder's path."""
    licence: str
    languages: tuple[str, ...]
    facts_from: str
    """Where the numbers of this card come from."""
    revision: str = ""
    """The commit the files are taken from; empty = not pinned."""
    fetch: tuple[str, ...] = ()
    """Patterns (fnmatch) of the files wanted from a source that holds more; empty = by kind."""
    licence_url: str = ""
    permits: str = ""
    """What the licence permits and asks for, in one line."""
    is_gated: bool = False
    """True if the hub gives it only to those who accepted its terms."""
    architecture: str = ""
    """llama.cpp's name of it, for example 'qwen3'."""
    parameters: int | None = None
    active_parameters: int | None = None
    """Of a mixture of experts: those that one token uses."""
    n_ctx: int | None = None
    """Context the model was trained for, in tokens."""
    n_layers: int | None = None
    n_kv_layers: int | None = None
    """Layers that keep keys and values of every token, None = all; others keep a fixed state."""
    n_kv_heads: int | None = None
    head_dim: int | None = None
    quant_type: str = "Q4_K_M"
    """The type the memory need is stated for."""
    reasoning: bool = False
    """True if the model thinks aloud before it answers."""
    reasoning_tags: tuple[str, ...] = ()
    """What begins and ends its reasoning, for example '<think>', '</think>'."""
    sampling: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Recommended upstream: temperature, top_p, top_k, min_p."""
    max_kl: float | None = None
    """The most a quantization may lose: mean KL divergence to the unquantized model, in nats."""
    template_sha256: str = ""
    """Of the chat template upstream, UTF-8."""
    recommended: bool = False
    dim: int | None = None
    pooling: Pooling | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    files: tuple[ModelFile, ...] = ()
    notes: str = ""

    @property
    def is_ready_made(self) -> bool:
        """True if it runs as it is fetched; else it is converted and quantized here.

        A chat model runs as GGUF: the card names such files, or the repository is named for them.
        """
        if self.source.startswith("pypi://") or self.kind != "chat":
            return True
        named = (*self.fetch, *(file.path for file in self.files))
        return any(name.endswith(".gguf") for name in named) or "gguf" in self.source.lower()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def run_type(self) -> str:
        """The type its memory need is stated for; torch runs what is not for chat in F32."""
        return self.quant_type if self.kind == "chat" else "F32"

    def weights_bytes(self, quant_type: str | None = None) -> int | None:
        """Bytes: the pinned file's size in its own type, else parameters times bits per weight."""
        wanted = quant_type or self.run_type
        pinned = sum(file.size_bytes for file in self.files if file.path.endswith(".gguf"))
        if pinned and wanted == self.quant_type:
            return pinned
        bits = BITS_PER_WEIGHT.get(wanted)
        return int(self.parameters * bits / 8) if self.parameters and bits else None

    def kv_bytes(self, num_tokens: int) -> int | None:
        """Key-value cache: 2 (K, V) * layers * KV heads * head size * 2 bytes (F16) * tokens.

        Layers that look back over a window only count in full: the kit's engine keeps their whole
        cache (llama.cpp's swa_full), to be able to go back to any prefix.
        """
        if self.kind != "chat":
            return 0
        layers = self.n_kv_layers or self.n_layers
        if not (layers and self.n_kv_heads and self.head_dim):
            return None
        return 2 * layers * self.n_kv_heads * self.head_dim * 2 * num_tokens

    def needed_bytes(self, num_tokens: int, quant_type: str | None = None) -> int | None:
        """Memory to run it: weights + KV cache of `num_tokens` (all sequences) + allowance."""
        weights, kv = self.weights_bytes(quant_type), self.kv_bytes(num_tokens)
        return None if weights is None or kv is None else weights + kv + COMPUTE_BYTES


def catalog_folder() -> Path:
    """models/ beside the source in a checkout, kit/models inside an installed wheel."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def load_catalog(folder: Path | None = None) -> dict[str, ModelCard]:
    """Every card by name, in alphabetical order.

    Raises: ModelError naming every wrong card and key at once.
    """
    cards: dict[str, ModelCard] = {}
    problems: list[Problem] = []
    for path in sorted((folder or catalog_folder()).glob("*.toml")):
        try:
            status = path.stat()
            cards[path.stem] = _known_card(path, status.st_mtime_ns, status.st_size)
        except (OSError, ValueError, UsageError) as problem:
            problems.append(Problem(f"models/{path.name}", str(problem)))
    if problems:
        raise ModelError("the model cards are not right", problems=problems)
    return cards


@functools.lru_cache(maxsize=256)
def _known_card(path: Path, _mtime_ns: int, _size_bytes: int) -> ModelCard:
    """A file that did not change is read once: one command asks for cards many times."""
    return read_card(path)


def find_card(name: str, folder: Path | None = None) -> ModelCard:
    """The card of that name. Raises NotFound with the nearest name."""
    cards = load_catalog(folder)
    if name in cards:
        return cards[name]
    close = difflib.get_close_matches(name, cards, n=1)
    raise NotFound(
        f"no model card is called {name!r}",
        hint=f"did you mean {close[0]!r}?" if close else "see them all: kit model list",
    )


def read_card(path: Path) -> ModelCard:
    """One card from its file. Raises ValueError that says what is wrong with it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as problem:
        raise ValueError(f"not TOML: {problem}") from None
    known = {field.name: field for field in dataclasses.fields(ModelCard)}
    for key in document:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            raise ValueError(
                f"unknown key {key!r}" + (f", did you mean {close[0]!r}?" if close else "")
            )
    missing = [
        name
        for name, field in known.items()
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and name not in document
    ]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    if document["name"] != path.stem:
        raise ValueError(f"name {document['name']!r} differs from the file's name")
    if document["kind"] not in get_args(Kind):
        raise ValueError(f"kind is {document['kind']!r}, expected one of {get_args(Kind)}")
    return ModelCard(
        **{
            **document,
            **{name: tuple(document[name]) for name in _TUPLES if name in document},
            "files": tuple(_read_file(entry) for entry in document.get("files", [])),
        }
    )


def _read_file(entry: Mapping[str, Any]) -> ModelFile:
    if set(entry) != {"path", "sha256", "size_bytes"}:
        raise ValueError(f"a file has the keys {sorted(entry)}, expected path, sha256, size_bytes")
    safe_join(Path("."), entry["path"])  # threat: a card that writes outside the model's folder
    if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
        raise ValueError(f"{entry['path']}: sha256 is not 64 hexadecimal digits")
    return ModelFile(entry["path"], entry["sha256"], int(entry["size_bytes"]))


def recommend(
    cards: Mapping[str, ModelCard], memory_bytes: int, num_tokens: int
) -> ModelCard | None:
    """The largest recommended chat model that leaves a quarter of the memory to everything else.

    A rule of memory alone: how fast it answers depends on memory bandwidth and cores.
    """
    fitting = [
        (needed, card)
        for card in cards.values()
        if card.kind == "chat" and card.recommended
        if (needed := card.needed_bytes(num_tokens)) is not None and needed <= memory_bytes * 3 // 4
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None
