"""A model's passport: what it is made of, how it was made, and how it did here, in one record.

Knows no disk and no process. Invariants: None means "not measured", never a guess; nothing secret,
no path of this machine and no name of it is in a passport.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from kit.supply.catalog import Kind, ModelFile
from kit.supply.smoke.report import SmokeReport
from kit.supply.store import InstalledModel

SCHEMA = 2  # raise it when a field is added, removed or means something else


@dataclass(frozen=True)
class Licence:
    """What the model's makers permit. `text` is empty where the repository holds none."""

    id: str
    permits: str
    """In one line, from the model's card; empty = the card does not say."""
    url: str
    """Where the card says it is published; empty = the card does not say."""
    text: str
    text_from: str


@dataclass(frozen=True)
class Tools:
    """The versions that made the files. `converter` is empty where nothing was converted."""

    kit: str
    llama_cpp_python: str
    llama_cpp: str
    """The commit of llama.cpp that is compiled in."""
    converter: str


@dataclass(frozen=True)
class Provenance:
    """What the earlier stages of the line know of the files."""

    inputs: tuple[ModelFile, ...] = ()
    """Every file that was fetched; empty = those of the installed files that the card names."""
    revision: str = ""
    """The commit they were resolved to; empty = the card's."""
    converter: str = ""
    imatrix_sha256: str = ""


@dataclass(frozen=True)
class Loss:
    """What quantizing cost, on a shipped text, against the unquantized model."""

    perplexity: float
    reference_perplexity: float
    mean_kl: float
    """Kullback-Leibler divergence of the next token's distribution, in nats."""
    p99_kl: float
    top1_agreement: float
    """The share of places where both find the same token likeliest."""
    num_tokens: int


@dataclass(frozen=True)
class ContextMemory:
    """Keys and values of one conversation of `n_ctx` tokens, in F16, by the file's header."""

    n_ctx: int
    kv_bytes: int


@dataclass(frozen=True)
class Memory:
    """`resident_bytes` was measured, with one context of `resident_n_ctx`; the rest is computed."""

    weights_bytes: int
    contexts: tuple[ContextMemory, ...]
    resident_bytes: int | None
    resident_n_ctx: int | None


@dataclass(frozen=True)
class Speed:
    """Tokens per second, the median of a few runs. `decode` is None for a model without text."""

    prefill_tok_per_s: float
    decode_tok_per_s: float | None
    n_threads: int
    cpu_variant: str
    busy_cores: float
    """How many cores others kept busy just before; measured beside them, it is less."""


@dataclass(frozen=True)
class TemplateNote:
    """One thing that a static check of the chat template found."""

    severity: str
    line: int
    what: str


@dataclass(frozen=True)
class Template:
    """The chat template inside the active file. `findings` is None where nobody looked."""

    sha256: str
    pinned_sha256: str
    """As the card pins it; empty = not pinned."""
    findings: tuple[TemplateNote, ...] | None
    is_forced: bool
    """True if it is refused, by its findings or its card, and somebody insisted (--force)."""


@dataclass(frozen=True)
class Machine:
    """Where the measurements were made: what it is, not which one."""

    cpu: str
    num_cores: int
    system: str


@dataclass(frozen=True)
class Passport:
    """Everything that is known of one installed model."""

    schema: int
    name: str
    title: str
    kind: Kind
    source: str
    revision: str
    licence: Licence
    inputs: tuple[ModelFile, ...]
    outputs: tuple[ModelFile, ...]
    """What the kit made of them; empty if it runs as it came."""
    active: str
    """The file that runs; empty for an embedding model that is a folder."""
    quant_type: str
    imatrix_sha256: str
    tools: Tools
    template: Template | None
    memory: Memory
    loss: Loss | None
    speed: Speed | None
    smoke: SmokeReport | None
    machine: Machine
    installed_at: str
    made_at: str

    def belongs_to(self, model: InstalledModel) -> bool:
        """True if it was made for this installation, whatever file ran then."""
        return (self.name, self.installed_at) == (model.name, model.installed_at)

    def is_of(self, model: InstalledModel) -> bool:
        """True if it was made for exactly the file that runs now."""
        files = {(file.path, file.sha256) for file in (*self.inputs, *self.outputs)}
        running = {(file.path, file.sha256) for file in running_files(model)}
        return self.belongs_to(model) and self.active == model.active and running <= files

    @property
    def provenance(self) -> Provenance:
        """For a renewal: what cannot be read from the installed files."""
        return Provenance(
            self.inputs, self.revision, self.tools.converter, self.imatrix_sha256
        )  # fmt: skip


def running_files(model: InstalledModel) -> tuple[ModelFile, ...]:
    """The active file with its further parts; all files of a model that is a folder."""
    if not model.active:
        return model.files
    wanted = part_names(model.active)
    return tuple(file for file in model.files if file.path in wanted)


def part_names(name: str) -> set[str]:
    """The names of all parts of a model split as `name-00001-of-00003.gguf`; else just `name`."""
    match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.gguf", name)
    if not match:
        return {name}
    return {f"{match[1]}-{n:05}-of-{match[2]}.gguf" for n in range(1, int(match[2]) + 1)}


def arrived_files(model: InstalledModel, pinned: Sequence[ModelFile]) -> tuple[ModelFile, ...]:
    """Those of the installed files that came from outside: the card's, else the first one's parts.

    A file that `quantize` made stands behind them.
    """
    ours = tuple(file for file in model.files if file in pinned)
    if ours or not model.active:
        return ours or model.files
    first = part_names(model.files[0].path)
    return tuple(file for file in model.files if file.path in first)


def public_source(source: str) -> str:
    """The source without what is this machine's own or secret.

    Threat: a passport is published, and a mirror's address may hold a password or a token, a
    folder's path the name of a person.
    """
    if "://" not in source:
        is_path = source.startswith(("/", "~", "."))
        return f"folder {source.rstrip('/').rpartition('/')[2]}" if is_path else source
    parts = urlsplit(source)
    if parts.scheme == "file":
        return f"folder {parts.path.rstrip('/').rpartition('/')[2]}"
    if parts.scheme not in ("http", "https"):
        return source
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
