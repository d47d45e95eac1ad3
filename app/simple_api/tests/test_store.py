"""The data file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from student_api.store import Store, StoreError

from .conftest import stored


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "must be one object"),
        ('{"bob": 13}', "ages as strings"),
        ("\x00", "is not JSON"),
    ],
)
def test_a_wrong_file_is_refused(data_file: Path, text: str, why: str) -> None:
    data_file.write_text(text)
    with pytest.raises(StoreError, match=why):
        Store(data_file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        Store(tmp_path / "none.json")


def test_a_folder_that_is_gone(data_file: Path) -> None:
    store = Store(data_file)
    data_file.rename(data_file.parent.parent / "elsewhere.json")
    data_file.parent.rmdir()
    with pytest.raises(StoreError, match="cannot write"):
        store.remove("bob")
    assert store.age("bob") == "13"


def test_threads_do_not_lose_each_others_changes(data_file: Path) -> None:
    names = [f"s{n}" for n in range(40)]
    data_file.write_text("{" + ", ".join(f'"{name}": "1"' for name in [*names, "last"]) + "}")
    store = Store(data_file)
    threads = [threading.Thread(target=store.remove, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(data_file) == {"last": "1"} == store.all()
