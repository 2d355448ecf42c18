"""The house keeps its rules: imports point down, one owner per heavy library, a light start."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.bundle.make.create import KERNEL

KIT = Path(__file__).parent.parent / "kit"
MODULES = sorted(path for path in KIT.rglob("*.py"))

# A room may import itself, the ground, and the rooms named here; nothing else of ours.
GROUND = {
    *("errors", "files", "release", "config", "instance", "database", "schema", "silence"),
    *("isolate", ""),
}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "release": {"errors"},
    "config": {"errors", "release"},
    "instance": {"errors", "files"},
    "database": {"errors", "files", "schema"},
    "schema": set(),
    "silence": set(),
    "isolate": set(),
    "samples": set(),
    "supply": set(),
    "bundle": set(),
    "engine": set(),
    "library": set(),
    "people": set(),
    "answer": {"library", "engine.client"},
    "export": {"answer"},
    "evaluate": {"library", "engine.client", "answer.events"},
    "ops": {"answer", "library", "engine", "people", "supply", "bundle", "samples"},
    "web": {"answer", "export", "library", "engine.client", "people", "ops", "supply", "samples"},
    "cli": {
        *("answer", "library", "engine", "people", "ops", "supply", "bundle", "samples", "web"),
        *("evaluate", "export"),
    },
    "testing": {"engine.client"},
    "__main__": {"cli"},
}
# Within two large rooms, from the ground up: what stands lower knows nothing of what stands higher.
FLOORS: dict[str, tuple[set[str], ...]] = {
    "library": (
        {"gate", "dates", "progress", "word_boxes"},
        {"documents"},
        {"collections", "chunk"},
        {"index", "parsers"},
        {"lineage"},
        {"store"},
        {"ledger", "sweep"},
        {"reading"},
        {"folders"},
        {"sync"},
        {"worker"},
    ),
    "answer": (
        {"events", "fusion", "prompt"},
        {"evidence"},
        {"retrieve", "stream", "suggest"},
        {"sources"},
        {"answer"},
        {"modes"},
        {"conversations"},
        {"chat"},
    ),
}
# Any other room may read a GGUF header: it is pure Python and touches nothing native.
SHARED = {"engine.gguf"}

STANDARD_LIBRARY_ONLY = {
    "errors",
    "files",
    "release",
    "config",
    "instance",
    "silence",
    "isolate",
} | {f"bundle/{Path(name).stem}" for name in KERNEL if name.startswith("bundle/")}

OWNERS = {
    "apsw": {"database"},
    "llama_cpp": {"engine/native"},
    "chromadb": {"library/index/chroma_store"},
    "sentence_transformers": {"library/index/embed", "library/index/rerank"},
    "torch": {"library/index/embed", "library/worker"},
    "gradio": {"web"},
    "pypdfium2": {
        "library/parsers/pdf",
        "library/parsers/pdf_spaces",
        "library/parsers/pdf_tables/rulings",
        "library/parsers/pdf_tables/find",
        "library/parsers/pdf_unseen",
        "library/reading/render",
    },
    "docx": {"library/parsers/docx", "export/docx"},
    "pptx": {"library/parsers/pptx"},
    "openpyxl": {"library/parsers/xlsx", "export/xlsx"},
    "xlrd": {"library/parsers/xls"},
    "olefile": {"library/parsers/detect", "library/parsers/msg", "library/parsers/xls"},
    "argon2": {"people"},
    "matplotlib": {"evaluate/plots"},
    "typer": {"cli"},
}


def dotted(path: Path) -> str:
    """kit/library/store.py -> 'library.store'; kit/library/__init__.py -> 'library'."""
    name = path.relative_to(KIT).with_suffix("").as_posix().replace("/", ".")
    return name.removesuffix(".__init__").removesuffix("__init__")


def imports(path: Path, *, at_run_time: bool = False) -> Iterator[tuple[str, int]]:
    """Every module imported anywhere in the file, with its line; of late ones too.

    `at_run_time`: without those that only type checkers see.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if at_run_time:
        tree = WithoutTypes().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            yield node.module or "", node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


class WithoutTypes(ast.NodeTransformer):
    """The tree without its `if TYPE_CHECKING:` blocks."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)


def room_of(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(KIT)))
def test_imports_point_down(path: Path) -> None:
    """A room imports only itself, the ground and the rooms below it."""
    room = room_of(dotted(path))
    allowed = ROOMS[room] if room else set()
    for name, line in imports(path):
        if not name.startswith("kit."):
            continue
        target = name.removeprefix("kit.")
        if room_of(target) in GROUND or target == "__version__" or room_of(target) == room:
            continue
        fits = any(target == a or target.startswith(a + ".") for a in allowed | SHARED)
        # `from kit.engine import client` is seen as kit.engine and as kit.engine.client
        is_parent = any(a.startswith(target + ".") for a in allowed | SHARED)
        assert fits or is_parent, f"{path}:{line} kit.{room} imports kit.{target}"


def test_no_circle_of_imports() -> None:
    """No module needs itself by way of others, not even by an import inside a function."""
    known = {f"kit.{dotted(path)}".rstrip("."): path for path in MODULES}
    needs = {
        module: {name for name, _ in imports(path, at_run_time=True) if name in known} - {module}
        for module, path in known.items()
    }
    # `from kit.web import text` names the folder kit.web too, whose __init__ imports nothing
    needs = {
        module: {name for name in names if known[name].name != "__init__.py" or needs[name]}
        for module, names in needs.items()
    }
    graphlib.TopologicalSorter(needs).prepare()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(KIT)))
def test_floors_of_large_rooms(path: Path) -> None:
    """A part of the library or of the answer room imports its own floor and those below."""
    room, _, rest = dotted(path).partition(".")
    if room not in FLOORS or not rest:
        return
    floor_of = {part: floor for floor, parts in enumerate(FLOORS[room]) for part in parts}
    for name, line in imports(path):
        part = name.removeprefix(f"kit.{room}.").split(".")[0]
        if name.startswith(f"kit.{room}.") and part in floor_of:
            fits = floor_of[part] <= floor_of[rest.split(".")[0]]
            assert fits, f"{path}:{line} kit.{room}.{rest} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(KIT)))
def test_heavy_libraries_have_one_owner(path: Path) -> None:
    """Each library that can break or bloat us is imported in one place."""
    where = path.relative_to(KIT).with_suffix("").as_posix()
    for name, line in imports(path):
        owners = OWNERS.get(name.split(".")[0])
        if owners is not None:
            fits = any(where == owner or where.startswith(owner + "/") for owner in owners)
            assert fits, f"{path}:{line} imports {name}, owned by {sorted(owners)}"


@pytest.mark.parametrize("name", sorted(STANDARD_LIBRARY_ONLY))
def test_ground_is_standard_library(name: str) -> None:
    """The ground imports the standard library and itself."""
    path = KIT / f"{name}.py"
    kernel = {f"kit.{Path(part).with_suffix('').as_posix().replace('/', '.')}" for part in KERNEL}
    for module, line in imports(path):
        if name.startswith("bundle/") and module.startswith("kit."):
            known = kernel | {"kit.bundle"}
            fits = module in known or module.rpartition(".")[0] in known
            assert fits, f"{path}:{line} imports {module}, which is not in the kernel"
        top = module.split(".")[0]
        assert top in sys.stdlib_module_names or top == "kit", f"{path}:{line} imports {module}"


def test_no_assert_in_the_kit() -> None:
    """What a user can cause is an error with words, never an assert."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}"


def test_files_stay_small() -> None:
    """A file that passes 450 lines holds two thoughts."""
    long = {
        p.relative_to(KIT).as_posix(): n
        for p in MODULES
        if (n := len(p.read_text().splitlines())) > 450
    }
    assert long == {}


def test_command_line_starts_light() -> None:
    """`kit --help` loads no heavy library."""
    heavy = sorted({*OWNERS} - {"typer", "apsw", "argon2"} | {"numpy", "fastapi", "httpx"})
    code = (
        "import sys, runpy; sys.argv = ['kit', '--help']\n"
        "try:\n    runpy.run_module('kit', run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", KERNEL)
def test_the_kernel_speaks_old_python(name: str) -> None:
    """What verifies and installs a bundle is grammar of Python 3.9: old servers have no newer."""
    ast.parse((KIT / name).read_text(encoding="utf-8"), feature_version=(3, 9))
