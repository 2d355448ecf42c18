"""The one place that imports llama_cpp: the CPU variant, the log, weights, vocabulary and decoding.

Knows the C API, not requests. Keeps one invariant: no model file reaches native code unless
`read_gguf` accepted it, and nothing of llama.cpp is loaded before its CPU variant is chosen.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kit.engine.cpu.machine import available_memory
from kit.engine.cpu.threads import DEFAULT_WAITING, WAITINGS
from kit.engine.gguf import read_gguf, split_paths
from kit.engine.gpu import Device, ModelSize, gpu_backends
from kit.engine.logprobs import Sampled
from kit.engine.pace import MAX_STEP_TOKENS
from kit.engine.sampler import Sampler, Sampling
from kit.engine.scheduler import Row
from kit.errors import EngineError, MachineError, ModelError, UsageError
from kit.files import format_bytes
from kit.silence import NO_DEBUGGER

_LOG_WARNING, _LOG_ERROR = 3, 4
_GPU_DEVICE = 1  # enum ggml_backend_dev_type
_SHOWN_MARKS = (b"<think>", b"</think>", b"<tool_call>", b"</tool_call>")
_NOT_CONVERTED = (
    AssertionError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
_JSON_CHAR = r'[^"\\\x00-\x1F\x7F]'  # what a JSON string may hold as it is
_lock = threading.Lock()
_last_errors: collections.deque[str] = collections.deque(maxlen=4)
_keep_alive: list[Any] = []  # callbacks that native code holds pointers to


@functools.cache
def load_library(
    variant: Path | None,
    *,
    debug: bool = False,
    waiting: str = DEFAULT_WAITING,
    with_gpu: bool = False,
) -> ModuleType:
    """llama_cpp's C API with one CPU variant loaded into it; None = the one built in.

    `with_gpu` loads the code for GPUs too, where it lies beside the variant as libraries of its
    own; such a library finds out itself whether there is a device. `waiting` is one of `WAITINGS`
    or AS_SET; what the environment says already is kept.
    Raises: MachineError if the library or the variant cannot be loaded.
    """
    for name, value in WAITINGS.get(waiting, {}).items():  # OpenMP reads them when it is loaded
        os.environ.setdefault(name, value)
    os.environ.update(NO_DEBUGGER)  # whoever started this process: a child, a script, a test
    with _lock:
        try:
            from llama_cpp import llama_cpp as lib
        except (ImportError, OSError, RuntimeError) as problem:
            raise MachineError(
                f"llama.cpp cannot be loaded: {problem}", hint="run scripts/up again to rebuild it"
            ) from problem
        callback = lib.llama_log_callback(functools.partial(_on_log, debug=debug))
        _keep_alive.append(callback)
        lib.llama_log_set(callback, ctypes.c_void_p(0))
        if variant is not None:
            load = _backend_loader(Path(lib.__file__).parent / "lib")
            if not load(os.fsencode(variant)):
                said = f"the CPU variant {variant.name} cannot be loaded: {last_error()}"
                raise MachineError(said)
            for path in gpu_backends(variant.parent) if with_gpu else ():
                load(os.fsencode(path))  # without its driver it says so and is left out
        lib.llama_backend_init()
        return lib  # type: ignore[no-any-return]


def _backend_loader(lib_folder: Path) -> Any:
    """What registers a backend. Only this file is the copy of ggml that libllama itself links."""
    ggml = ctypes.CDLL(str(lib_folder / "libggml.so.0"))
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    ggml.ggml_backend_load.argtypes = [ctypes.c_char_p]
    return ggml.ggml_backend_load


def _on_log(level: int, text: bytes, _user_data: Any, *, debug: bool) -> None:
    line = text.decode("utf-8", errors="replace").rstrip()
    if level == _LOG_ERROR and line:
        _last_errors.append(line)
    if line and (debug or level == _LOG_ERROR):
        print(line, file=sys.stderr)


def last_error(otherwise: str = "no reason given") -> str:
    """What native code complained about last."""
    return "; ".join(_last_errors) or otherwise


def gbnf_of_schema(schema: str) -> str:
    """A grammar whose texts are JSON that the schema accepts, as far as grammars go.

    llama-cpp-python's converter does it, less two faults: it does not escape backslashes, and lets
    quotes and control characters into strings. It may take any memory and time: call it in a child.
    Raises: UsageError if it cannot convert the schema.
    """
    from llama_cpp.llama_grammar import SchemaConverter

    class Converter(SchemaConverter):  # type: ignore[misc]
        def _format_literal(self, literal: str) -> str:
            escaped = literal.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'

    converter = Converter(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    try:
        converter.visit(converter.resolve_refs(json.loads(schema), ""), "")
    except _NOT_CONVERTED as problem:
        raise UsageError(f"the schema cannot be followed: {str(problem)[:200]}") from problem
    gbnf: str = converter.format_grammar()
    gbnf = re.sub(r'^(char ::= )\[\^"\\\\\]', lambda found: found[1] + _JSON_CHAR, gbnf, flags=re.M)
    return re.sub(r"^(dot ::= ).*", lambda found: found[1] + _JSON_CHAR, gbnf, flags=re.M)


def require_memory(name: str, size: ModelSize, num_gpu_layers: int = 0) -> None:
    """Refuse before loading what the kernel would kill after: weights and cache that cannot fit.

    Raises: MachineError with both sizes.
    """
    share = 1 - num_gpu_layers / (size.num_layers + 1)
    if size.num_bytes * share > available_memory():
        raise MachineError(
            f"{name} needs {format_bytes(int(size.num_bytes * share))} of memory "
            f"({format_bytes(size.weight_bytes)} weights, {format_bytes(size.cache_bytes)} context"
            f"{f', {1 - share:.0%} of both on the GPU' if num_gpu_layers else ''}), "
            f"{format_bytes(available_memory())} is free",
            hint="use fewer tokens or conversations (--ctx 2048 --parallel 1) or a smaller model",
        )


def gpu_devices(lib: Any) -> list[Device]:
    """The GPUs that this build of llama.cpp can use, with what is free on each."""
    if not lib.llama_supports_gpu_offload():
        return []
    folder = Path(lib.__file__).parent / "lib"
    ggml = ctypes.CDLL(str(folder / "libggml.so.0"))
    base = ctypes.CDLL(str(folder / "libggml-base.so.0"))
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    base.ggml_backend_dev_description.restype = ctypes.c_char_p
    found: list[Device] = []
    for index in range(ggml.ggml_backend_dev_count()):
        handle = ctypes.c_void_p(ggml.ggml_backend_dev_get(ctypes.c_size_t(index)))
        if base.ggml_backend_dev_type(handle) == _GPU_DEVICE:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            base.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
            name = base.ggml_backend_dev_description(handle) or b"GPU"
            found.append(Device(name.decode("utf-8", "replace"), free.value))
    return found


class Model:
    """Weights and vocabulary of one GGUF file."""

    def __init__(
        self, lib: Any, path: Path, *, vocab_only: bool = False, num_gpu_layers: int = 0
    ) -> None:
        """Raises: ModelError if any part of the file is damaged or llama.cpp refuses it."""
        self.lib = lib
        self.gguf, *_ = [read_gguf(part) for part in split_paths(path)]
        params = lib.llama_model_default_params()
        params.vocab_only, params.n_gpu_layers = vocab_only, num_gpu_layers
        if not num_gpu_layers:  # a GPU without room for a layer must not be computed on either
            self._no_devices = (ctypes.c_void_p * 1)(None)
            params.devices = ctypes.addressof(self._no_devices)
        self.handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise ModelError(
                f"llama.cpp cannot load {path.name}: {last_error()}",
                hint="the file may be of a newer kind than this engine; see: kit model list",
            )
        if not lib.llama_model_has_decoder(self.handle):
            raise ModelError(f"{path.name} is not a model that writes text")
        self.vocab = lib.llama_model_get_vocab(self.handle)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train = lib.llama_model_n_ctx_train(self.handle)
        self.size_bytes = lib.llama_model_size(self.handle)
        self.num_params = lib.llama_model_n_params(self.handle)
        self.can_trim = not (
            lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle)
        )

    @functools.cached_property
    def max_piece_bytes(self) -> int:
        """The most bytes one token stands for; bounds the tokens of a text from below."""
        return max(1, *(len(self._piece(token, special=True)) for token in range(self.n_vocab)))

    @property
    def bos(self) -> int | None:
        """The token that a prompt must begin with, if this model wants one."""
        token = self.lib.llama_vocab_bos(self.vocab)
        return token if token >= 0 and self.lib.llama_vocab_get_add_bos(self.vocab) else None

    def special_text(self, which: str) -> str:
        """The text of the "bos" or "eos" token, for chat templates; empty if there is none."""
        token = getattr(self.lib, f"llama_vocab_{which}")(self.vocab)
        return self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def tokenize(self, text: str, *, parse_special: bool, add_special: bool = False) -> list[int]:
        """Tokens of `text`; `add_special` adds those this model wants at the ends.

        With `parse_special` the text of a control token becomes that token: only for templates.
        """
        raw = text.encode("utf-8")
        room = len(raw) + 16
        buffer = (self.lib.llama_token * room)()
        count = self.lib.llama_tokenize(
            self.vocab, raw, len(raw), buffer, room, add_special, parse_special
        )
        if count < 0:
            raise EngineError(f"a text of {len(raw)} bytes could not be tokenized")
        return list(buffer[:count])

    @functools.lru_cache(maxsize=32768)  # noqa: B019 - one model lives as long as its process
    def piece(self, token: int) -> bytes:
        """The bytes of a generated token. Control tokens have none, save the marks of parts."""
        if self.is_control(token):
            marked = self._piece(token, special=True)
            return marked if marked in _SHOWN_MARKS else b""
        return self._piece(token, special=False)

    def label(self, token: int) -> bytes:
        """The bytes of any token, control tokens by their names."""
        return self._piece(token, special=True)

    def _piece(self, token: int, *, special: bool) -> bytes:
        room = 256
        while True:
            buffer = ctypes.create_string_buffer(room)
            size = self.lib.llama_token_to_piece(self.vocab, token, buffer, room, 0, special)
            if size >= 0:
                return buffer.raw[:size]
            room = -size

    def is_end(self, token: int) -> bool:
        return bool(self.lib.llama_vocab_is_eog(self.vocab, token))

    def is_control(self, token: int) -> bool:
        return bool(self.lib.llama_vocab_is_control(self.vocab, token))

    def close(self) -> None:
        """The weights' memory is free; every context on them must have been closed."""
        self.lib.llama_model_free(self.handle)


class Decoder:
    """A context: one cache of keys and values per slot, and the batch that fills them."""

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        num_slots: int,
        n_threads: int,
        max_draft: int = 0,
        watch: Callable[[int, bool, Any], bool] | None = None,
    ) -> None:
        """`n_ctx` is the context of one slot, `max_draft` the most tokens guessed for it in a step.

        `watch` sees each tensor that is computed, as llama.cpp's cb_eval (see llama.h).
        Raises: EngineError if there is no memory for it.
        """
        lib = model.lib
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max = n_ctx * num_slots, num_slots
        max_outputs = num_slots * (1 + max_draft)
        params.n_batch = params.n_ubatch = MAX_STEP_TOKENS + max_outputs
        params.n_outputs_max = max_outputs
        params.n_threads = params.n_threads_batch = n_threads
        params.kv_unified = False  # attention then runs over one slot's tokens, not over all
        params.no_perf = True
        if watch is not None:
            self._watch = params.cb_eval = lib.ggml_backend_sched_eval_callback(watch)
        self._lib = lib
        self.n_vocab, self._vocab = model.n_vocab, model.vocab
        self.can_trim = model.can_trim
        self.handle = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineError(
                f"no context of {n_ctx} tokens for {num_slots} conversations: {last_error()}",
                hint="use fewer: --ctx 2048 --parallel 1",
            )
        self._memory = lib.llama_get_memory(self.handle)
        self.max_rows = params.n_batch
        self._batch = lib.llama_batch_init(self.max_rows, 0, 1)

    def use_threads(self, decode: int, batch: int) -> None:
        """From the next step on: threads for a single token, and for more at a time."""
        self._lib.llama_set_n_threads(self.handle, decode, batch)

    @property
    def n_ctx(self) -> int:
        """Tokens one slot really has; llama.cpp rounds up."""
        return int(self._lib.llama_n_ctx_seq(self.handle))

    def decode(self, rows: Seq[Row]) -> None:
        """Compute one batch. Raises: EngineError; the rows' slots must then be emptied."""
        batch = self._batch
        batch.n_tokens = len(rows)
        for at, row in enumerate(rows):
            batch.token[at], batch.pos[at] = row.token, row.position
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, row.slot
            batch.logits[at] = row.is_output
        status = self._lib.llama_decode(self.handle, batch)
        if status != 0:
            raise EngineError(f"llama.cpp could not compute a step ({status}): {last_error()}")

    def logits(self, row: int) -> list[float]:
        """The distribution after batch row `row`, shape (n_vocab,), before any scaling."""
        pointer = self._lib.llama_get_logits_ith(self.handle, row)
        return [pointer[i] for i in range(self.n_vocab)]

    def logit_row(self, row: int) -> np.ndarray:
        """The same as `logits`, as a copy in float32."""
        pointer = self._lib.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,)).copy()

    def keep(self, slot: int, num_tokens: int) -> int:
        """Forget all but the first `num_tokens` of a slot; returns how many are left.

        Models with a recurrent state cannot go back: for them it is all or nothing.
        """
        if self._lib.llama_memory_seq_rm(self._memory, slot, num_tokens, -1):
            return num_tokens
        self._lib.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return 0

    def save(self, slot: int, max_bytes: int) -> np.ndarray | None:
        """A copy of what a slot holds, None if that is larger than `max_bytes`: uint8, (size,)."""
        size = self._lib.llama_state_seq_get_size(self.handle, slot)
        if not 0 < size <= max_bytes:
            return None
        state = np.empty(size, dtype=np.uint8)
        written = self._lib.llama_state_seq_get_data(self.handle, _pointer(state), size, slot)
        return state if written == size else None

    def load(self, slot: int, state: Any) -> bool:
        """Make a slot hold what was saved; False, and an empty slot, if llama.cpp refuses it."""
        self.keep(slot, 0)
        taken = self._lib.llama_state_seq_set_data(self.handle, _pointer(state), state.nbytes, slot)
        if taken != state.nbytes:
            self.keep(slot, 0)
        return bool(taken == state.nbytes)

    def new_sampler(self, sampling: Sampling) -> Sampler:
        return Sampler(self._lib, sampling, vocab=self._vocab, n_vocab=self.n_vocab)

    def sample(self, sampler: Sampler, row: int) -> int | Sampled:
        return sampler.sample(self.handle, row)

    def close(self) -> None:
        """The context's memory is free; nothing may be asked of it any more."""
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self.handle)


def _pointer(state: np.ndarray) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
