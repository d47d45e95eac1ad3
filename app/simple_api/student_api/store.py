"""The students: one JSON file, a flat object of name to age, ages as strings."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path


class StoreError(Exception):
    """The data file cannot be used; the text says why."""


class Store:
    """The students of one file. Safe to use from several threads; the file is replaced whole or not at all."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ages = _load(file)

    def all(self) -> dict[str, str]:
        """All students, a copy."""
        with self._lock:
            return dict(self._ages)

    def age(self, name: str) -> str | None:
        """The age of one student, None when there is none of that name."""
        with self._lock:
            return self._ages.get(name)

    def remove(self, name: str) -> str | None:
        """Removes a student from the file, then from memory; returns the age, None when there is none of that name."""
        with self._lock:
            if name not in self._ages:
                return None
            rest = {key: age for key, age in self._ages.items() if key != name}
            _save(self._file, rest)
            age, self._ages = self._ages[name], rest
            return age


def _load(file: Path) -> dict[str, str]:
    try:
        ages = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{file} is not JSON: {error}") from error
    if not isinstance(ages, dict) or not all(isinstance(age, str) for age in ages.values()):
        raise StoreError(f'{file} must be one object of name to age, ages as strings: {{"alice": "12"}}')
    return ages


def _save(file: Path, ages: dict[str, str]) -> None:
    """Beside the file, then over it: a reader sees the old or the new content, also after a crash."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, prefix=".student_age.", delete=False) as out:
            temporary = Path(out.name)
            json.dump(ages, out, indent=4)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {file}: {error.strerror}") from error
