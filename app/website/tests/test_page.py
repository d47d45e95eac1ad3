"""What a visitor sees."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import requests
import responses

from student_website.api import Api
from student_website.app import create_app
from student_website.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

STUDENTS = "http://api:5000/pozos/api/v1.0/get_student_ages"


@pytest.fixture
def client() -> FlaskClient:
    config = Config(api_url="http://api:5000", username="toto", password="python", version="1.0", commit_sha="abcdef0123456789")
    return create_app(config, Api(config.api_url, config.username, config.password, config.api_timeout)).test_client()


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def test_the_page(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    for text in ["<title>POZOS</title>", "<h1>Student Checking App</h1>", 'name="submit"', "List Student", "abcdef012345"]:
        assert text in answer.text
    assert "years old" not in answer.text


def test_the_list(client: FlaskClient, api: responses.RequestsMock) -> None:
    api.get(STUDENTS, json={"student_ages": {"bob": "13", "alice": "12"}})
    answer = client.post("/", data={"submit": "List Student"})
    assert answer.status_code == 200
    assert "This is the list of the student with age" in answer.text
    assert answer.text.index("- alice is 12 years old") < answer.text.index("- bob is 13 years old")
    login = base64.b64encode(b"toto:python").decode()
    assert api.calls[0].request.headers["Authorization"] == f"Basic {login}"


def test_no_students(client: FlaskClient, api: responses.RequestsMock) -> None:
    api.get(STUDENTS, json={"student_ages": {}})
    assert "There are no students." in client.post("/", data={"submit": "x"}).text


def test_names_are_escaped(client: FlaskClient, api: responses.RequestsMock) -> None:
    api.get(STUDENTS, json={"student_ages": {"<script>alert(1)</script>": '"><img src=x onerror=alert(1)>'}})
    text = client.post("/", data={"submit": "x"}).text
    assert "<script>" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_post_without_the_button_shows_the_page(client: FlaskClient) -> None:
    answer = client.post("/", data={"other": "<b>"})
    assert (answer.status_code, "years old" in answer.text, "<b>" in answer.text) == (200, False, False)


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, "{}", "refused the website&#39;s credentials"),
        (500, "secret trace", "answered with status 500"),
        (302, "", "answered with status 302"),
        (200, "not json", "could not be understood"),
        (200, "[]", "could not be understood"),
        (200, '{"student_ages": [1]}', "could not be understood"),
        (200, "{}", "could not be understood"),
    ],
)
def test_a_wrong_answer_is_a_502(client: FlaskClient, api: responses.RequestsMock, status: int, body: str, why: str) -> None:
    api.get(STUDENTS, status=status, body=body, headers={"Location": "http://elsewhere/"})
    answer = client.post("/", data={"submit": "x"})
    assert answer.status_code == 502
    assert why in answer.text
    assert "secret trace" not in answer.text
    assert "api:5000" not in answer.text


@pytest.mark.parametrize("error", [requests.ConnectionError("http://toto:python@api"), requests.Timeout()])
def test_no_answer_is_a_502(client: FlaskClient, api: responses.RequestsMock, error: Exception) -> None:
    api.get(STUDENTS, body=error)
    answer = client.post("/", data={"submit": "x"})
    assert (answer.status_code, "does not answer" in answer.text, "python" in answer.text) == (502, True, False)


def test_health(client: FlaskClient) -> None:
    assert client.get("/health").json == {"status": "ok"}


def test_headers(client: FlaskClient) -> None:
    for path in ["/", "/none", "/static/page.css"]:
        with client.get(path) as answer:
            headers = answer.headers
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
