"""Settings of the API, read once from the environment at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DATA_FILE = "/data/student_age.json"
DESCRIPTION = "POZOS student_list: names and ages of students"


class ConfigError(Exception):
    """A setting is missing or wrong; the text says which and what to do."""


@dataclass(frozen=True)
class Config:
    """Everything the API needs to know."""

    username: str
    password: str = field(repr=False)
    version: str
    commit_sha: str
    data_file: Path = Path(DATA_FILE)
    description: str = DESCRIPTION
    #: Bug-for-bug mode of the original: reading one student by name removes it.
    destructive_get: bool = False


def read(env: Mapping[str, str] = os.environ) -> Config:
    """Reads the settings; raises ConfigError when one is missing, so that a wrong container never starts."""
    return Config(
        username=_secret(env, "USERNAME"),
        password=_secret(env, "PASSWORD"),
        version=_required(env, "APP_VERSION"),
        commit_sha=_required(env, "COMMIT_SHA"),
        # The lower-case name is the original's.
        data_file=Path(env.get("student_age_file_path") or DATA_FILE),
        description=env.get("APP_DESCRIPTION") or DESCRIPTION,
        destructive_get=_switch(env, "LEGACY_DESTRUCTIVE_GET"),
    )


def _secret(env: Mapping[str, str], name: str) -> str:
    """The variable itself, or the content of the file that NAME_FILE names (without its final newline)."""
    file = env.get(f"{name}_FILE")
    if not file:
        return _required(env, name)
    try:
        value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{name}_FILE: cannot read {file}: {error.strerror}") from error
    if not value:
        raise ConfigError(f"{name}_FILE: {file} is empty")
    return value


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigError(f"the environment variable {name} is not set")
    return value


def _switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "") or "0"
    if value not in {"0", "1"}:
        raise ConfigError(f"{name} is {value!r}; write 0 or 1")
    return value == "1"
