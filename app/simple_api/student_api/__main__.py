"""Runs the API: `python -m student_api`."""

from __future__ import annotations

import sys

import waitress

from . import config, store
from .app import create_app

PORT = 5000


def main() -> int:
    """Serves until it is stopped; 1 when a setting or the data file is wrong."""
    try:
        settings = config.read()
        app = create_app(settings, store.Store(settings.data_file))
    except (config.ConfigError, store.StoreError) as error:
        print(f"student_api: {error}", file=sys.stderr)
        return 1
    print(f"student_api {settings.version} ({settings.commit_sha}) on port {PORT}", flush=True)
    # No banner: `ident` empty leaves the Server header out.
    waitress.serve(app, host="0.0.0.0", port=PORT, ident="", threads=8)  # noqa: S104 - it is a container's port
    return 0


if __name__ == "__main__":
    sys.exit(main())
