"""The page."""

from __future__ import annotations

from flask import Flask, Response, jsonify, make_response, render_template, request

from .api import Api, ApiError
from .config import Config

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(config: Config, api: Api) -> Flask:
    """The WSGI application."""
    app = Flask(__name__)

    @app.route("/", methods=["GET", "POST"])
    def page() -> Response:
        if request.method == "GET" or "submit" not in request.form:
            return make_response(render_template("page.html", config=config))
        try:
            students = api.students()
        except ApiError as error:
            app.logger.warning("%s (%s)", error, type(error.__cause__).__name__)
            # 502: a monitor that looks at the status alone must see that the list is missing.
            return make_response(render_template("page.html", config=config, error=str(error)), 502)
        return make_response(render_template("page.html", config=config, students=sorted(students.items())))

    @app.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return app
