"""The API's contract: what every client of the original may rely on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from student_api.app import create_app
from student_api.config import Config
from student_api.store import Store

from .conftest import LOGIN, stored

if TYPE_CHECKING:
    from flask.testing import FlaskClient

LIST = "/pozos/api/v1.0/get_student_ages"


def test_list(client: FlaskClient) -> None:
    answer = client.get(LIST, auth=LOGIN)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.json == {"student_ages": {"alice": "12", "bob": "13"}}


@pytest.mark.parametrize("auth", [None, ("toto", "wrong"), ("wrong", "python"), ("", ""), ("tötö", "pythön")])
@pytest.mark.parametrize("path", [LIST, f"{LIST}/alice"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_unauthorized(client: FlaskClient, method: str, path: str, auth: tuple[str, str] | None) -> None:
    answer = client.open(path, method=method, auth=auth)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Authentication Required"'
    if method == "GET":
        assert answer.json == {"error": "Unauthorized access"}


def test_one_student_is_the_bare_age_as_html_and_stays(client: FlaskClient, data_file: Path) -> None:
    for _ in range(2):
        answer = client.get(f"{LIST}/alice", auth=LOGIN)
        assert (answer.status_code, answer.mimetype, answer.text) == (200, "text/html", "12")
    assert stored(data_file) == {"bob": "13", "alice": "12"}


def test_delete_removes_from_memory_and_file(client: FlaskClient, data_file: Path) -> None:
    answer = client.delete(f"{LIST}/alice", auth=LOGIN)
    assert (answer.status_code, answer.text) == (200, "12")
    assert stored(data_file) == {"bob": "13"}
    assert client.get(LIST, auth=LOGIN).json == {"student_ages": {"bob": "13"}}
    assert client.delete(f"{LIST}/alice", auth=LOGIN).status_code == 404
    assert client.delete(f"{LIST}/bob").status_code == 401


def test_legacy_get_removes_as_the_original_does(legacy: FlaskClient, data_file: Path) -> None:
    assert legacy.get(f"{LIST}/alice", auth=LOGIN).text == "12"
    again = legacy.get(f"{LIST}/alice", auth=LOGIN)
    assert (again.status_code, again.json) == (404, {"error": "Not found"})
    assert data_file.read_text() == '{\n    "bob": "13"\n}', "indent 4 and no final newline, as the original writes it"


@pytest.mark.parametrize("path", ["/", f"{LIST}/", f"{LIST}/a/b", "/console", "/pozos", "/static/x"])
def test_other_paths_need_no_login_and_are_not_there(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json) == (404, {"error": "Not found"})


def test_unknown_student(client: FlaskClient) -> None:
    answer = client.get(f"{LIST}/nobody", auth=LOGIN)
    assert (answer.status_code, answer.json) == (404, {"error": "Not found"})


def test_other_methods(client: FlaskClient) -> None:
    post = client.post(LIST, auth=LOGIN)
    assert (post.status_code, post.mimetype) == (405, "text/html")
    assert set(post.headers["Allow"].split(", ")) == {"HEAD", "GET", "OPTIONS"}
    assert client.options(LIST).status_code == 200
    assert client.head(LIST, auth=LOGIN).status_code == 200


def test_status_is_a_list_of_one(client: FlaskClient) -> None:
    about = {"version": "1.2.3", "lastcommitsha": "abc57858585", "description": "POZOS student_list: names and ages of students"}
    answer = client.get("/status")
    assert (answer.status_code, answer.mimetype, answer.json) == (200, "application/json", {"myapplication": [about]})


def test_health(client: FlaskClient) -> None:
    assert client.get("/health").json == {"status": "ok"}


def test_headers(client: FlaskClient) -> None:
    for path in ["/", "/health", LIST]:
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_markup_in_an_age_is_escaped(settings: dict[str, object], data_file: Path) -> None:
    data_file.write_text('{"eve": "<script>alert(1)</script>"}')
    client = create_app(Config(**settings), Store(data_file)).test_client()  # type: ignore[arg-type]
    assert client.get(f"{LIST}/eve", auth=LOGIN).text == "&lt;script&gt;alert(1)&lt;/script&gt;"


def test_a_file_that_cannot_be_written_is_an_error_and_nothing_is_lost(client: FlaskClient, data_file: Path) -> None:
    data_file.unlink()
    data_file.mkdir()
    answer = client.delete(f"{LIST}/alice", auth=LOGIN)
    assert (answer.status_code, answer.json) == (500, {"error": "The data file cannot be written"})
    assert client.get(f"{LIST}/alice", auth=LOGIN).text == "12"
    assert list(data_file.parent.iterdir()) == [data_file], "no temporary file stays behind"
