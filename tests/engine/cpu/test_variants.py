"""CPU variants: chosen by trying, best score first, and remembered. Crashing ones are planted."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.engine.cpu import variants
from kit.engine.cpu.variants import choose_variant, describe, memory_path
from kit.errors import MachineError

pytestmark = pytest.mark.e2e  # they compile variants and run real ones

FAKE = """
#include <signal.h>
#include <stdlib.h>
int ggml_backend_score(void) {{ {at_score} return {score}; }}
void *ggml_backend_init(void) {{ {at_init} return 0; }}
"""


def plant(folder: Path, name: str, *, score: int, at_init: str = "", at_score: str = "") -> None:
    """Compile a fake variant that does `at_init` when it is loaded."""
    source = folder / f"{name}.c"
    source.write_text(FAKE.format(score=score, at_init=at_init, at_score=at_score))
    target = folder / f"libggml-cpu-{name}.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", target, source], check=True)


@pytest.fixture(scope="module")
def real_folder() -> Path:
    """Where this build's own variants lie."""
    found = [f for f in variants.variant_folders() if list(f.glob("libggml-cpu-*.so"))]
    if not found:
        pytest.skip("this build of llama.cpp has no CPU variants")
    return found[0]


def with_real_ones(folder: Path, real_folder: Path) -> Path:
    """The planted variants beside two that run on every machine of this kind."""
    for path in real_folder.glob("libggml-cpu-*.so"):
        if path.stem.endswith(("x64", "sse42", "armv8.0_1")):
            shutil.copy(path, folder)
    return folder


def test_a_crashing_variant_is_passed_over(tmp_path: Path, home: Path, real_folder: Path) -> None:
    """Two best-scored variants die of SIGSEGV and SIGILL; the next one that works is chosen."""
    plant(tmp_path, "amx", score=9000, at_init="raise(SIGSEGV);")
    plant(tmp_path, "newest", score=8000, at_init="raise(SIGILL);")
    choice = choose_variant(home, folders=[with_real_ones(tmp_path, real_folder)])
    outcomes = [(trial.name, trial.outcome) for trial in choice.trials]
    assert outcomes[:2] == [("amx", "killed by SIGSEGV"), ("newest", "killed by SIGILL")]
    assert outcomes[2] == (choice.variant.name, "works")
    assert choice.variant.path is not None
    assert choice.variant.path.parent == tmp_path


def test_a_variant_that_dies_only_in_its_first_product_is_passed_over(
    tmp_path: Path, home: Path, real_folder: Path
) -> None:
    """Loading proves nothing: a variant that loads and then dies at work is not chosen."""
    good = sorted(with_real_ones(tmp_path, real_folder).glob("libggml-cpu-*.so"))[0]
    source = f"""
        #include <dlfcn.h>
        #include <signal.h>
        #include <string.h>
        struct reg {{ int version; const char *(*name)(void *); size_t (*count)(void *);
                      void *(*device)(void *, size_t); void *(*proc)(void *, const char *);
                      void *x; }};
        static struct reg *real;
        static void *proc(void *self, const char *name) {{
            if (!strcmp(name, "ggml_backend_set_n_threads")) raise(SIGILL); /* work begins */
            return real->proc(self, name);
        }}
        int ggml_backend_score(void) {{ return 9000; }}
        void *ggml_backend_init(void) {{
            static struct reg ours;
            void *library = dlopen("{good}", RTLD_NOW);
            real = ((struct reg *(*)(void)) dlsym(library, "ggml_backend_init"))();
            ours = *real;
            ours.proc = proc;
            return &ours;
        }}"""
    (tmp_path / "late.c").write_text(source)
    target = tmp_path / "libggml-cpu-late.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", target, tmp_path / "late.c", "-ldl"], check=True
    )
    choice = choose_variant(home, folders=[tmp_path])
    assert (choice.trials[0].name, choice.trials[0].outcome) == ("late", "killed by SIGILL")
    assert choice.trials[-1].outcome == "works"


def test_a_variant_that_dies_on_the_question_does_not_hide_the_others(
    tmp_path: Path, home: Path, real_folder: Path
) -> None:
    """One that crashes while it is asked for its score is left out; the rest are still asked."""
    plant(tmp_path, "aaa", score=9000, at_score="raise(SIGSEGV);")
    choice = choose_variant(home, folders=[with_real_ones(tmp_path, real_folder)])
    assert [trial.outcome for trial in choice.trials] == ["works"]


def test_if_none_survives_the_error_says_what_each_did(tmp_path: Path, home: Path) -> None:
    """Every candidate is listed with its signal, best score first; nothing is remembered."""
    plant(tmp_path, "b", score=2, at_init="raise(SIGILL);")
    plant(tmp_path, "a", score=3, at_init="abort();")
    plant(tmp_path, "c", score=1)
    plant(tmp_path, "unsupported", score=0)
    with pytest.raises(MachineError) as refused:
        choose_variant(home, folders=[tmp_path])
    rows = [(problem.where, problem.what) for problem in refused.value.problems]
    assert rows[:2] == [("a", "killed by SIGABRT"), ("b", "killed by SIGILL")]
    assert rows[2][0] == "c"
    assert rows[2][1].startswith("failed: the CPU variant libggml-cpu-c.so cannot be loaded")
    assert len(rows) == 3
    assert not memory_path(home).exists()


def test_the_choice_is_remembered_until_something_changes(
    tmp_path: Path, home: Path, real_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second trial for the same build and CPU; a new one for another CPU, file or bad record."""
    folder = with_real_ones(tmp_path, real_folder)
    first = choose_variant(home, folders=[folder])
    tried: list[str] = []
    real_try = variants.try_variant

    def counting(variant: variants.Variant, model_path: Path) -> str:
        tried.append(variant.name)
        return real_try(variant, model_path)

    monkeypatch.setattr(variants, "try_variant", counting)
    assert choose_variant(home, folders=[folder]) == first
    assert tried == []
    with monkeypatch.context() as other_machine:
        other_machine.setattr(variants, "cpu_fingerprint", lambda: "another")
        choose_variant(home, folders=[folder])
    assert len(tried) == 1
    plant(folder, "new", score=0)
    choose_variant(home, folders=[folder])
    assert len(tried) == 2
    memory_path(home).write_text('{"key": ')
    choose_variant(home, folders=[folder])
    assert len(tried) == 3
    record = json.loads(memory_path(home).read_text())
    assert record["name"] == first.variant.name


def test_the_installed_build_runs_here(home: Path) -> None:
    """Whatever build is installed, a variant of it survives here, and doctor can say which."""
    facts = describe(home)
    assert facts["trials"][-1] == {
        "name": facts["variant"],
        "score": facts["trials"][-1]["score"],
        "outcome": "works",
    }


def test_a_build_without_variants_is_one_candidate(tmp_path: Path) -> None:
    """A plain build is tried as "native"."""
    assert [(v.name, v.path) for v in variants.candidates([tmp_path])] == [("native", None)]
