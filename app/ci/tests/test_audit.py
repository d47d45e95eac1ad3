"""The audit says no when it must, and says so when it could not look."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

import audit

HERE = Path(__file__).parent
TODAY = datetime.date(2026, 11, 22)


def requirements(folder: Path, text: str) -> str:
    file = folder / "requirements.txt"
    file.write_text(text)
    return str(file)


def test_our_own_pins_are_fine(capsys: pytest.CaptureFixture[str]) -> None:
    files = [HERE.parents[1] / part / "requirements.txt" for part in ["simple_api", "website"]]
    assert audit.main([str(file) for file in files], TODAY) == 0
    assert "1 days ago" in capsys.readouterr().out


def test_a_known_bad_pin_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([requirements(tmp_path, "Flask==0.12.2 \\\n    --hash=sha256:00\n")], TODAY) == 1
    assert "flask 0.12.2: CVE-2018-1000656" in capsys.readouterr().err
    assert audit.main([requirements(tmp_path, "Flask[async,dotenv]==0.12.2\n")], TODAY) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [("flask>=3\n", "not pinned"), ("left-pad==1.0\n", "not recorded for left-pad"), ("# none\n", "has no requirements")],
)
def test_could_not_look(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str) -> None:
    assert audit.main([requirements(tmp_path, text)], TODAY) == 2
    assert why in capsys.readouterr().err


def test_an_old_database_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([requirements(tmp_path, "flask==3.1.3\n")], TODAY + datetime.timedelta(days=365)) == 2
    assert "older than 365 days" in capsys.readouterr().err


def test_usage_and_missing_files(tmp_path: Path) -> None:
    assert audit.main([]) == 2
    assert audit.main([str(tmp_path / "none")]) == 2
