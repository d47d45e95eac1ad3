"""Runs the website: `python -m student_website`."""

from __future__ import annotations

import sys

import waitress

from . import config
from .api import Api
from .app import create_app

#: Not 80: an unprivileged process cannot bind it on the lab's kernel (3.10). The container's port is published as 80.
PORT = 8080


def main() -> int:
    """Serves until it is stopped; 1 when a setting is wrong."""
    try:
        settings = config.read()
    except config.ConfigError as error:
        print(f"student_website: {error}", file=sys.stderr)
        return 1
    api = Api(settings.api_url, settings.username, settings.password, settings.api_timeout)
    print(f"student_website {settings.version} ({settings.commit_sha}) on port {PORT}", flush=True)
    # No banner: `ident` empty leaves the Server header out.
    waitress.serve(create_app(settings, api), host="0.0.0.0", port=PORT, ident="", threads=8)  # noqa: S104 - it is a container's port
    return 0


if __name__ == "__main__":
    sys.exit(main())
