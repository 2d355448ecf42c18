"""A repository's safetensors to one GGUF file, by llama.cpp's own converter in a child process.

Knows files and the converter's words, no network. Invariants: what the model's makers wrote as code
is not even visible to the child; a file under its final name is a whole, checked model.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from kit.engine.gguf import read_gguf
from kit.errors import ModelError, UsageError
from kit.files import atomic_path, explain_os_errors, require_space
from kit.isolate import die_with_parent, leave_network
from kit.silence import quiet_environment
from kit.supply.converter import Converter

OUT_TYPES = ("auto", "f32", "f16", "bf16", "q8_0")
WEIGHTS = "*.safetensors"
# Data that the converter reads. No *.py: a model's own code is never run.
DATA = ("*.json", "*.safetensors", "*.model", "*.tiktoken", "*.txt", "*.jinja", "*.md", "*.vocab")
SETTINGS = ("config.json", "tokenizer_config.json", "processor_config.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
LAUNCH = """
import os, runpy, sys
from transformers.models.auto import tokenization_auto
getattr(tokenization_auto, "MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS", set()).discard("qwen2")
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the converter. transformers 5.23 reads every model of type qwen2 with Qwen2's own tokenizer,
whatever its tokenizer.json says; those that others built upon it, such as DeepSeek's distilled ones
(their class is LlamaTokenizerFast), would come out as tokenizers that nobody knows."""
_WRITTEN = re.compile(r"Writing:\s+(\d+)%")
_UNKNOWN_MODEL = re.compile(r"Model (\S+) is not supported|Architecture '?(\S+?)'? not supported")
Progress = Callable[[str, int, int | None], None]


def _quiet(what: str, done: int, total: int | None) -> None:
    """No progress."""


def convert(
    source: Path,
    destination: Path,
    converter: Converter,
    *,
    out_type: str = "auto",
    environ: Mapping[str, str] | None = None,
    on_progress: Progress = _quiet,
) -> Path:
    """`destination` is the model of the folder `source`, in GGUF, whole or not at all.

    `out_type` "auto" keeps 16 bits a weight, of the kind the weights have.
    Raises: ModelError (no safetensors, an architecture or tokenizer that is not known, damage),
    UsageError (unknown type), DiskFull.
    """
    if out_type not in OUT_TYPES:
        raise UsageError(f"{out_type!r} is no type to convert to", hint=f"known: {OUT_TYPES}")
    architecture = require_convertible(source)
    require_space(destination.parent, _output_bytes(source, out_type))
    with explain_os_errors(destination), atomic_path(destination) as temporary:
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=destination.parent) as work:
            view = _view(source, Path(work) / "model")
            command = [sys.executable, "-c", LAUNCH, str(converter.script), str(view)]
            command += ["--outfile", str(temporary), "--outtype", out_type]
            child_environ = _environ(os.environ if environ is None else environ, Path(work))
            said, status = _run(command, child_environ, Path(work), on_progress)
        if status != 0 or temporary.stat().st_size == 0:
            raise _explain(architecture, converter, said, status)
        read_gguf(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
    return destination


def require_convertible(source: Path) -> str:
    """The architecture in config.json. Raises: ModelError if this is no model to convert."""
    if not any(source.glob(WEIGHTS)):
        pickles = [path.name for pattern in PICKLES for path in source.glob(pattern)]
        if pickles:
            raise ModelError(
                f"{source.name} has its weights in pickle files only ({pickles[0]})",
                hint="a pickle can run any code when it is read; choose a repository with"
                " safetensors",
            )
        raise ModelError(f"{source.name} has no *.safetensors", hint="is it a model's folder?")
    try:
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        return str(config["architectures"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as problem:
        raise ModelError(
            f"{source.name}/config.json does not say which model this is: {problem}",
            hint="fetch the repository again, whole",
        ) from None


def _output_bytes(source: Path, out_type: str) -> int:
    weights = sum(path.stat().st_size for path in source.glob(WEIGHTS))
    return 2 * weights if out_type == "f32" else weights


def _view(source: Path, view: Path) -> Path:
    """A folder of links to the data files alone, and settings that name no code.

    sentence-transformers keeps how vectors are pooled in folders of their own (1_Pooling/).
    """
    for pattern in (*DATA, "*/config.json"):
        for path in sorted(source.glob(pattern)):
            seen = view / path.relative_to(source)
            if not path.is_file() or seen.exists():
                continue
            seen.parent.mkdir(parents=True, exist_ok=True)
            plain = _without_code(path) if path.name in SETTINGS else None
            if plain is None:
                seen.symlink_to(path.resolve())
            else:
                seen.write_text(plain, encoding="utf-8")
    return view


def _without_code(path: Path) -> str | None:
    """The settings without "auto_map", which names a model's own code; None if there is none.

    The converter would look for that code, not find it, and give up on a model that needs none.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # the converter says what is wrong with it
    if not isinstance(record, dict) or "auto_map" not in record:
        return None
    return json.dumps({key: value for key, value in record.items() if key != "auto_map"})


def _environ(environ: Mapping[str, str], work: Path) -> dict[str, str]:
    """Silent, and with nothing of this user's: no hub's cache that code could come from."""
    quiet = quiet_environment(environ)
    for name in ("PYTHONPATH", "HF_TOKEN", "NO_LOCAL_GGUF"):
        quiet.pop(name, None)
    return {**quiet, "HF_HOME": str(work / "hub"), "PYTHONDONTWRITEBYTECODE": "1"}


def _run(
    command: list[str], environ: Mapping[str, str], work: Path, on_progress: Progress
) -> tuple[str, int]:
    """(what the child said, its status); progress follows its own bar."""
    on_progress("reading the model", 0, 100)
    with subprocess.Popen(
        command,
        cwd=work,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_cage(os.getpid()),
    ) as child:
        try:
            said = _follow(child.stdout, on_progress) if child.stdout else ""
            return said, child.wait()
        finally:
            if child.poll() is None:
                child.kill()


def _cage(parent: int) -> Callable[[], None]:
    """Runs in the child before its program: it dies with its parent, and has no network.

    Threat: code in a file that a library of the converter's reads. Where the kernel gives no
    network namespace to an ordinary user, the environment alone keeps it silent. Memory has no
    limit: weights are mapped, so the size of a model is no sign that anything is wrong.
    """

    def cage() -> None:
        leave_network()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        die_with_parent(parent)

    return cage


def _follow(stream: IO[bytes], on_progress: Progress) -> str:
    said = b""
    while block := stream.read1(4096):  # type: ignore[attr-defined]
        said = (said + block)[-100_000:]
        if found := _WRITTEN.findall(block.decode("utf-8", "replace")):
            on_progress("converting", int(found[-1]), 100)
    return said.decode("utf-8", "replace")


def _explain(architecture: str, converter: Converter, said: str, status: int) -> ModelError:
    """The converter's failure as one error that says what to do."""
    unknown = _UNKNOWN_MODEL.search(said)
    if unknown:
        name = unknown[1] or unknown[2]
        return ModelError(
            f"the llama.cpp of this kit (llama-cpp-python {converter.version}) cannot convert "
            f"{name}",
            hint="choose another model (kit model list), one that is in GGUF already, or a newer"
            " kit",
        )
    if "pre-tokenizer was not recognized" in said:
        return ModelError(
            f"the tokenizer of this {architecture} is none that llama.cpp knows",
            hint="a tokenizer that was trained anew cannot be converted; use the original's, or a"
            " GGUF file from its makers",
        )
    missing = re.search(r"No module named '(\w+)'", said)
    if missing:
        return ModelError(
            f"converting {architecture} needs the Python package {missing[1]}, which is not here",
            hint=f"install it: .venv/bin/python -m pip install {missing[1]}",
        )
    if status < 0:
        why = f"it was killed by {signal.Signals(-status).name}; was there memory enough?"
    else:
        lines = [line for line in said.strip().splitlines() if line.strip()]
        why = lines[-1].strip()[:300] if lines else f"exit status {status}"
    return ModelError(
        f"{architecture} could not be converted: {why}", hint="is it whole? fetch it again"
    )
