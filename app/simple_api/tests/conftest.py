"""An API over a data file of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from student_api.app import create_app
from student_api.config import Config
from student_api.store import Store

if TYPE_CHECKING:
    from flask.testing import FlaskClient

LOGIN = ("toto", "python")


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    file = tmp_path / "student_age.json"
    file.write_text('{"bob": "13", "alice": "12"}')
    return file


@pytest.fixture
def settings(data_file: Path) -> dict[str, Any]:
    return {"username": "toto", "password": "python", "version": "1.2.3", "commit_sha": "abc57858585", "data_file": data_file}


@pytest.fixture
def client(settings: dict[str, Any], data_file: Path) -> FlaskClient:
    return create_app(Config(**settings), Store(data_file)).test_client()


@pytest.fixture
def legacy(settings: dict[str, Any], data_file: Path) -> FlaskClient:
    return create_app(Config(**settings, destructive_get=True), Store(data_file)).test_client()


def stored(file: Path) -> Any:
    return json.loads(file.read_text())
