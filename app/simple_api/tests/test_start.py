"""Settings and start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import waitress

from student_api import __main__, config

ENV = {"USERNAME": "toto", "PASSWORD": "python", "APP_VERSION": "1.0", "COMMIT_SHA": "abc"}


def test_defaults() -> None:
    settings = config.read(ENV)
    assert settings.data_file == Path("/data/student_age.json")
    assert not settings.destructive_get
    assert "python" not in repr(settings)


@pytest.mark.parametrize("name", list(ENV))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(config.ConfigError, match=f"variable {name} is not set"):
        config.read({**ENV, name: ""})


def test_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    assert config.read({**ENV, "PASSWORD": "", "PASSWORD_FILE": str(file)}).password == "from a file"
    file.write_text("\n")
    with pytest.raises(config.ConfigError, match="is empty"):
        config.read({**ENV, "PASSWORD_FILE": str(file)})
    with pytest.raises(config.ConfigError, match="No such file"):
        config.read({**ENV, "PASSWORD_FILE": str(tmp_path / "none")})


def test_switch() -> None:
    assert config.read({**ENV, "LEGACY_DESTRUCTIVE_GET": "1"}).destructive_get
    with pytest.raises(config.ConfigError, match="write 0 or 1"):
        config.read({**ENV, "LEGACY_DESTRUCTIVE_GET": "yes"})


def test_main_serves(monkeypatch: pytest.MonkeyPatch, data_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served: dict[str, Any] = {}
    for name, value in {**ENV, "student_age_file_path": str(data_file)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(waitress, "serve", lambda _app, **options: served.update(options))
    assert __main__.main() == 0
    assert (served["port"], served["ident"]) == (5000, "")
    assert capsys.readouterr().out == "student_api 1.0 (abc) on port 5000\n"


def test_main_refuses_to_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [*ENV, "PASSWORD_FILE", "USERNAME_FILE"]:
        monkeypatch.delenv(name, raising=False)
    assert __main__.main() == 1
    assert "student_api: the environment variable USERNAME is not set" in capsys.readouterr().err
