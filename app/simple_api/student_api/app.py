"""The HTTP side: routes, answers and who may ask."""

from __future__ import annotations

import hmac

from flask import Flask, Response, jsonify, make_response
from flask_httpauth import HTTPBasicAuth
from markupsafe import escape

from .config import Config
from .store import Store, StoreError

STUDENTS = "/pozos/api/v1.0/get_student_ages"

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(config: Config, store: Store) -> Flask:
    """The WSGI application."""
    app = Flask(__name__, static_folder=None)
    auth = _auth(config)

    @app.get(STUDENTS)
    @auth.login_required
    def students() -> Response:
        return jsonify(student_ages=store.all())

    @app.get(f"{STUDENTS}/<student_name>")
    @auth.login_required
    def student(student_name: str) -> Response:
        age = store.remove(student_name) if config.destructive_get else store.age(student_name)
        return _not_found() if age is None else _text(age)

    @app.delete(f"{STUDENTS}/<student_name>")
    @auth.login_required
    def remove(student_name: str) -> Response:
        age = store.remove(student_name)
        return _not_found() if age is None else _text(age)

    @app.get("/status")
    def status() -> Response:
        about = {"version": config.version, "lastcommitsha": config.commit_sha, "description": config.description}
        return jsonify(myapplication=[about])

    @app.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @app.errorhandler(404)
    def not_found(_error: Exception) -> Response:
        return _not_found()

    @app.errorhandler(StoreError)
    def not_stored(error: StoreError) -> Response:
        app.logger.error("%s", error)
        return make_response(jsonify(error="The data file cannot be written"), 500)

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return app


def _auth(config: Config) -> HTTPBasicAuth:
    auth = HTTPBasicAuth()

    @auth.verify_password
    def verify(username: str, password: str) -> str | None:
        # Both are compared, in constant time: the answer's time tells nothing about either.
        user = hmac.compare_digest(username.encode(), config.username.encode())
        word = hmac.compare_digest(password.encode(), config.password.encode())
        return username if user and word else None

    @auth.error_handler
    def unauthorized() -> Response:
        return make_response(jsonify(error="Unauthorized access"), 401)

    return auth


def _not_found() -> Response:
    return make_response(jsonify(error="Not found"), 404)


def _text(age: str) -> Response:
    """The bare age as text/html, as the original answers, with what HTML would read as markup escaped."""
    return make_response(str(escape(age)), 200)
