"""Settings: which layer wins, where a value came from, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kit.config import _SECTION_TYPES, Config, default_home, load_config
from kit.errors import ConfigError

KEYS = [
    f"{section}.{item.name}" for section, kind in _SECTION_TYPES.items() for item in fields(kind)
]


def default_of(key: str) -> Any:
    section, name = key.split(".")
    return {item.name: item.default for item in fields(_SECTION_TYPES[section])}[name]


def values_for(key: str) -> tuple[Any, Any, Any]:
    """Three values of the key's type that differ from its default and from each other."""
    default = default_of(key)
    if isinstance(default, str):
        return "a", "b", "c"
    if isinstance(default, tuple):
        return ("eng", "afr"), ("deu",), ("fra", "chi_sim")
    return type(default)(default + 1), type(default)(default + 2), type(default)(default + 3)


def value_of(config: Config, key: str) -> tuple[Any, str]:
    return {name: (value, origin) for name, value, origin in config.rows()}[key]


def write_toml(home: Path, key: str, value: Any) -> None:
    section, name = key.split(".")
    shown = f'"{value}"' if isinstance(value, str) else value
    shown = list(value) if isinstance(value, tuple) else shown
    (home / "kit.toml").write_text(f"[{section}]\n{name} = {shown}\n")


@pytest.mark.parametrize("key", KEYS)
def test_defaults_file_environment_flags(home: Path, key: str) -> None:
    """For every setting: default < kit.toml < KIT_* < flag, and the origin names the winner."""
    in_file, in_environ, in_flag = values_for(key)
    variable = "KIT_" + key.upper().replace(".", "_")
    assert value_of(load_config(home=home, environ={}), key) == (default_of(key), "default")
    write_toml(home, key, in_file)
    from_file = load_config(home=home, environ={})
    assert value_of(from_file, key) == (in_file, str(home / "kit.toml"))
    environ = {variable: ",".join(in_environ) if isinstance(in_environ, tuple) else str(in_environ)}
    from_environ = load_config(home=home, environ=environ)
    assert value_of(from_environ, key) == (in_environ, f"environment {variable}")
    from_flag = load_config({key: in_flag}, home=home, environ=environ)
    assert value_of(from_flag, key) == (in_flag, f"flag {key}")
    not_given = load_config({key: None}, home=home, environ=environ)
    assert value_of(not_given, key) == (in_environ, f"environment {variable}")


def test_every_problem_is_named_at_once(home: Path) -> None:
    """Unknown keys and wrong values of all layers come in one error, each with its origin."""
    (home / "kit.toml").write_text('loose = 1\n[web]\nprot = 8000\nport = "many"\n')
    environ = {"KIT_ENGINE_CTX": "-5", "KIT_WEB_PORT": "99999"}
    with pytest.raises(ConfigError) as caught:
        load_config(home=home, environ=environ)
    found = {(problem.where, problem.what) for problem in caught.value.problems}
    toml = str(home / "kit.toml")
    assert (toml, "unknown setting 'web.prot', did you mean 'web.port'?") in found
    assert (toml, "'loose' stands outside a [section]") in found
    assert any(where == toml and "expected int" in what for where, what in found)
    assert any(
        where == "environment KIT_ENGINE_CTX" and "zero or more" in what for where, what in found
    )
    assert any(where == "environment KIT_WEB_PORT" and "65535" in what for where, what in found)
    assert len(found) == 5


@pytest.mark.parametrize("value", ["true", "[1]", "{a = 1}", "1979-05-27"])
def test_a_value_of_another_kind_is_refused(home: Path, value: str) -> None:
    """A boolean, a list, a table or a date where a number is expected is an error."""
    (home / "kit.toml").write_text(f"[web]\nport = {value}\n")
    with pytest.raises(ConfigError):
        load_config(home=home, environ={})


def test_a_broken_file_is_named(home: Path) -> None:
    """A kit.toml that is not TOML is an error with the file's path."""
    (home / "kit.toml").write_bytes(b"[web\n\xff")
    with pytest.raises(ConfigError) as caught:
        load_config(home=home, environ={})
    assert caught.value.problems[0].where == str(home / "kit.toml")


def test_home_comes_from_the_flag_then_kit_home_then_xdg(tmp_path: Path) -> None:
    """--home wins over KIT_HOME, which wins over XDG_DATA_HOME, which wins over ~/.local/share."""
    environ = {"HOME": "/h", "XDG_DATA_HOME": "/x", "KIT_HOME": "/k"}
    assert load_config(home=tmp_path, environ=environ).home == tmp_path
    assert default_home(environ) == Path("/k")
    assert default_home({"HOME": "/h", "XDG_DATA_HOME": "/x"}) == Path("/x/kit")
    assert default_home({"HOME": "/h"}) == Path("/h/.local/share/kit")
    origin = value_of(load_config(environ={"KIT_HOME": str(tmp_path)}), "home")
    assert origin == (str(tmp_path), "environment KIT_HOME")


def test_variables_that_are_not_settings_are_left_alone(home: Path) -> None:
    """KIT_HOME and variables without the prefix are no unknown settings."""
    environ = {"KIT_HOME": str(home), "KITCHEN": "x", "OTHER": "1"}
    assert load_config(environ=environ).home == home
