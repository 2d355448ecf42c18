"""The command line itself: help, mistakes, interruptions, bugs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.cli import app, output
from kit.cli.app import BUG_EXIT_CODE, run
from kit.errors import DiskFull, KitError, Problem
from tests.cli.conftest import RunKit

TYPER = "import typer, typer.rich_utils, rich.markdown"
COMMANDS = ("up", "serve", "engine", "ask", "chat", "status", "doctor", "config", "docs", "model")


def test_help_names_every_command(run_kit: RunKit) -> None:
    """`kit --help` lists every command and ends well."""
    result = run_kit("--help")
    assert result.code == 0
    assert all(name in result.out for name in COMMANDS)


def imported_by(*command: str) -> set[str]:
    """The modules that a Python imports, its start included."""
    called = [sys.executable, "-X", "importtime", *command]
    ended = subprocess.run(called, check=True, capture_output=True, text=True)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


def test_help_imports_little() -> None:
    """`kit --help` imports little more than the library that draws it, which every command needs:
    no other package, and of the kit only its commands. That is what makes it quick."""
    ours = imported_by("-m", "kit", "--help")
    more = ours - imported_by("-c", TYPER)
    assert "kit.cli.app" in more
    packages = {name.partition(".")[0] for name in more} - sys.stdlib_module_names
    assert packages <= {"kit", "rich", "typer"}
    assert len(more) < 100


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (("doc",), "'docs'"),
        (("docs", "lst"), "'list'"),
        (("docs", "search", "x", "--topk", "3"), "'--top-k'"),
        (("up", "--prot", "1"), "'--port'"),
        (("up", "--hom", "1"), "'--home'"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(
    run_kit: RunKit, arguments: tuple[str, ...], suggestion: str
) -> None:
    """An unknown command or option is a usage error of one line, with what was probably meant."""
    result = run_kit(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.splitlines()[0].startswith("error: no such ")
    assert f"hint: did you mean {suggestion}" in result.err


@pytest.mark.parametrize(
    "arguments", [("docs", "search"), ("up", "--port", "abc"), ("docs", "search", "x", "-k", "0")]
)
def test_a_wrong_value_is_one_line(run_kit: RunKit, arguments: tuple[str, ...]) -> None:
    """A missing argument or a value of the wrong kind is a usage error with the help to ask for."""
    result = run_kit(*arguments)
    assert result.code == 2
    assert len(result.err.splitlines()) == 2
    assert "--help" in result.err


@pytest.mark.parametrize("words", ["", "  ", "\n"])
def test_nothing_to_ask_or_look_for_is_said_so(run_kit: RunKit, words: str) -> None:
    """An empty question or query is a usage error in words, before anything is started for it."""
    assert run_kit("ask", words).err.startswith("error: the question is empty\nhint: ")
    assert run_kit("docs", "search", words).err.startswith("error: the query is empty\nhint: ")


def test_errors_are_json_with_json(run_kit: RunKit) -> None:
    """With --json an error is one JSON document on stdout, and the words stay on stderr."""
    result = run_kit("model", "show", "qwen3-8", "--json")
    assert result.code == 22
    assert result.json()["error"]["code"] == "not_found"
    assert result.err.startswith("error: ")
    mistyped = run_kit("model", "lst", "--json")
    assert mistyped.json()["error"]["code"] == "usage"


def failing(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> None:
    """`kit config` fails with that problem."""

    def fails(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("kit.cli.config.load_config", fails)


def test_an_error_shows_its_problems_and_exit_code(
    run_kit: RunKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KitError ends the command with its lines on stderr and its own exit code."""
    failing(monkeypatch, DiskFull("full", hint="free some", problems=[Problem("/disk", "0 free")]))
    result = run_kit("config")
    assert result.code == DiskFull.exit_code
    assert result.err.splitlines() == ["error: full", "  /disk   0 free", "hint: free some"]


def test_a_bug_is_written_down_not_shown(run_kit: RunKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug says that it is one and where its traceback lies; none is shown."""
    failing(monkeypatch, ZeroDivisionError("by zero"))
    result = run_kit("config")
    assert result.code == BUG_EXIT_CODE
    assert "this is a bug in the kit: ZeroDivisionError: by zero" in result.err
    assert "Traceback" not in result.err + result.out
    path = Path(result.err.split("the details are in ")[1].split(";")[0])
    assert "Traceback" in path.read_text()
    path.unlink()


def test_a_fault_of_the_machine_is_no_bug(run_kit: RunKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be opened is named; it is not called a bug."""
    failing(monkeypatch, PermissionError(13, "Permission denied", "/secret"))
    result = run_kit("config")
    assert result.code == 4
    assert "/secret: Permission denied" in result.err


def test_ctrl_c_is_quiet(run_kit: RunKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and says nothing."""
    failing(monkeypatch, KeyboardInterrupt())
    assert run_kit("config") == main_result(130)


def main_result(code: int) -> object:
    from tests.cli.conftest import Result

    return Result(code, "", "")


@pytest.mark.parametrize(("closing", "code"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 4)])
@pytest.mark.parametrize("flag", ["", "--json"])
def test_a_stdout_that_takes_nothing_shows_no_traceback(
    home: Path, closing: str, code: int, flag: str
) -> None:
    """stdout or stderr closed, or on a full disk: the exit code says it, no traceback does."""
    if "full" in closing and not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    kit = f"{sys.executable} -c 'from kit.cli.main import main; main()' --home '{home}'"
    ended = subprocess.run(
        ["sh", "-c", f"{kit} config {flag} {closing}"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "bug in the kit" not in ended.stderr
    assert ended.returncode == code


def test_bytes_that_are_no_text_are_no_bug(
    run_kit: RunKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question typed in another encoding is a usage error; any other encoding failure is ours."""
    failing(monkeypatch, UnicodeEncodeError("utf-8", "caf\udce9", 3, 4, "surrogates not allowed"))
    assert run_kit("config").code == 2
    failing(monkeypatch, UnicodeEncodeError("ascii", "caf\xe9", 3, 4, "not in range"))
    result = run_kit("config")
    assert result.code == BUG_EXIT_CODE
    Path(result.err.split("the details are in ")[1].split(";")[0]).unlink()


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_ctrl_c_is_quiet_at_any_moment(home: Path, after_s: float) -> None:
    """Ctrl-C while the program is still loading shows no traceback of ours."""
    started = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; sys.argv = ['kit', '--home', sys.argv[1], 'user', 'list']\n"
        "import kit.cli.main as launcher; run = launcher._run\n"
        "launcher._run = lambda: print('x', flush=True) or run()\n"
        "launcher.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", started, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.read(1)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert process.returncode in (0, 130, -signal.SIGINT)  # it may have been done already


def test_a_closed_pipe_is_quiet(home: Path) -> None:
    """`kit config | true` says nothing on stderr."""
    command = f"{sys.executable} -m kit --home {home} config | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_home_before_and_after_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--home` counts before the command and after it; the one after wins."""

    def home_of(*arguments: str) -> str:
        assert run(arguments) == 0
        rows = json.loads(capsys.readouterr().out)["settings"]
        return str(rows[0]["value"])

    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    assert home_of("--home", first, "config", "--json") == first
    assert home_of("config", "--home", second, "--json") == second
    assert home_of("--home", first, "config", "--home", second, "--json") == second


def test_version(run_kit: RunKit) -> None:
    """`kit --version` prints the version and nothing else."""
    from kit import __version__

    result = run_kit("--version")
    assert (result.code, result.out) == (0, f"kit {__version__}\n")


def test_config_hides_the_secret(run_kit: RunKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kit config` says that a key is set, never which."""
    monkeypatch.setenv("KIT_ENGINE_API_KEY", "sk-very-secret")
    for result in (run_kit("config"), run_kit("config", "--json")):
        assert "sk-very-secret" not in result.out
        assert "(set)" in result.out


# Bundles and keys lie anywhere, and whose bundles a server takes lies with its releases.
OF_NO_HOME = {"keygen", "rotate", "trust", "distrust", "keys", "verify", "inspect"}


def test_every_command_speaks_json() -> None:
    """Every command and sub-command has --json and --home."""
    import typer.main

    root = typer.main.get_command(app.app)

    def leaves(command: object) -> list[object]:
        children = getattr(command, "commands", None)
        return [leaf for c in children.values() for leaf in leaves(c)] if children else [command]

    for leaf in leaves(root):
        options = [name for parameter in leaf.params for name in parameter.opts]  # type: ignore[attr-defined]
        wanted = {"--json"} if leaf.name in OF_NO_HOME else {"--json", "--home"}  # type: ignore[attr-defined]
        assert wanted <= set(options), leaf.name  # type: ignore[attr-defined]


def test_tables_keep_their_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A table is aligned, never cut, and an absent value is a dash; one very long value moves
    only its own line.
    """
    output.table([("a" * 200, None), ("b", "two\nlines")], ("NAME", "WHAT"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "a" * 200 + "  -"
    assert lines[2].split() == ["b", "two", "lines"]
    assert lines[0].index("WHAT") == lines[2].index("two") == output.MAX_PADDED + 2


def test_progress_goes_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal, progress is a line now and then on stderr."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with output.meter() as meter:
        for done in range(100):
            meter.show("copying", done << 20, 100 << 20)
            now[0] += 0.1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert 1 < len(captured.err.splitlines()) < 5
    assert "of 100.0 MiB" in captured.err


def test_exit_code_of_a_bug_is_no_error_of_ours() -> None:
    """The exit code of a bug differs from that of every error."""

    def kinds(root: type[KitError]) -> list[type[KitError]]:
        return [root, *(k for child in root.__subclasses__() for k in kinds(child))]

    assert BUG_EXIT_CODE not in {kind.exit_code for kind in kinds(KitError)}
