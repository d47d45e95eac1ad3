"""Settings of the website, read once from the environment at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_TIMEOUT = 60


class ConfigError(Exception):
    """A setting is missing or wrong; the text says which and what to do."""


@dataclass(frozen=True)
class Config:
    """Everything the website needs to know."""

    api_url: str
    username: str
    password: str = field(repr=False)
    version: str
    commit_sha: str
    #: Seconds to wait for the API.
    api_timeout: float = 5.0


def read(env: Mapping[str, str] = os.environ) -> Config:
    """Reads the settings; raises ConfigError when one is missing, so that a wrong container never starts."""
    return Config(
        api_url=_url(env),
        username=_secret(env, "USERNAME"),
        password=_secret(env, "PASSWORD"),
        version=_required(env, "APP_VERSION"),
        commit_sha=_required(env, "COMMIT_SHA"),
        api_timeout=_seconds(env),
    )


def _url(env: Mapping[str, str]) -> str:
    url = _required(env, "API_URL").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"API_URL is {url!r}; write the API's address, such as http://api:5000")
    return url


def _seconds(env: Mapping[str, str]) -> float:
    text = env.get("API_TIMEOUT") or "5"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise ConfigError(f"API_TIMEOUT is {text!r}; write seconds, more than 0 and at most {LONGEST_TIMEOUT}")
    return seconds


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
