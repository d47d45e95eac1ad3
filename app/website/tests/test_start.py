"""Settings and start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import waitress

from student_website import __main__, config

ENV = {"API_URL": "http://api:5000/", "USERNAME": "toto", "PASSWORD": "python", "APP_VERSION": "1.0", "COMMIT_SHA": "abc"}


def test_defaults() -> None:
    settings = config.read(ENV)
    assert (settings.api_url, settings.api_timeout) == ("http://api:5000", 5.0)
    assert "python" not in repr(settings)


@pytest.mark.parametrize("name", list(ENV))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(config.ConfigError, match=f"variable {name} is not set"):
        config.read({**ENV, name: ""})


@pytest.mark.parametrize(
    ("name", "value"), [("API_URL", "api:5000"), ("API_TIMEOUT", "soon"), ("API_TIMEOUT", "0"), ("API_TIMEOUT", "61")]
)
def test_wrong_values(name: str, value: str) -> None:
    with pytest.raises(config.ConfigError, match=name):
        config.read({**ENV, name: value})


def test_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    assert config.read({**ENV, "PASSWORD": "", "PASSWORD_FILE": str(file)}).password == "from a file"
    file.write_text("")
    with pytest.raises(config.ConfigError, match="is empty"):
        config.read({**ENV, "PASSWORD_FILE": str(file)})
    with pytest.raises(config.ConfigError, match="No such file"):
        config.read({**ENV, "PASSWORD_FILE": str(tmp_path / "none")})


def test_main_serves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    served: dict[str, Any] = {}
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(waitress, "serve", lambda _app, **options: served.update(options))
    assert __main__.main() == 0
    assert (served["port"], served["ident"]) == (8080, "")
    assert "student_website 1.0 (abc)" in capsys.readouterr().out


def test_main_refuses_to_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("API_URL", raising=False)
    assert __main__.main() == 1
    assert "student_website: the environment variable API_URL is not set" in capsys.readouterr().err
