"""Are pinned dependencies known to be vulnerable? Works offline: the advisories are in advisories.json beside this file.

Usage: audit.py REQUIREMENTS...

Exit status: 0 none is known to be; 1 at least one is; 2 could not look (unpinned, unknown package, database too old).
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

DATABASE = Path(__file__).with_name("advisories.json")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[\w,.-]+\])?==(?P<version>[^\s;\\]+)")


class CannotLookError(Exception):
    """The audit could not be made; the text says why."""


@dataclass(frozen=True)
class Pin:
    """One pinned requirement."""

    name: str
    version: Version
    file: Path


def pins(file: Path) -> list[Pin]:
    """The pinned requirements of a file made by pip-compile."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith(("#", " ")):
            continue
        match = PIN.match(line)
        if match is None:
            raise CannotLookError(f"{file}:{number}: not pinned with ==: {line}")
        found.append(Pin(canonicalize_name(match["name"]), Version(match["version"]), file))
    if not found:
        raise CannotLookError(f"{file} has no requirements")
    return found


def age_in_days(database: dict[str, Any], today: datetime.date) -> int:
    """Days since the database was recorded."""
    return (today - datetime.date.fromisoformat(database["recorded"])).days


def refuse_older(age: int, longest: int) -> None:
    """A database that is too old says nothing about today."""
    if age > longest:
        raise CannotLookError(f"the advisories are older than {longest} days (AUDIT_MAX_AGE_DAYS): record them anew")


def findings(database: dict[str, Any], wanted: list[Pin]) -> list[str]:
    """One line per vulnerable pin; raises CannotLookError for a package that the database does not cover."""
    unknown = sorted({pin.name for pin in wanted} - set(database["packages"]))
    if unknown:
        raise CannotLookError(f"{DATABASE.name} was not recorded for {', '.join(unknown)}: add the package and its advisories")
    return [
        f"{pin.file}: {pin.name} {pin.version}: {advisory['id']}: {advisory['what']}"
        for pin in wanted
        for advisory in database["advisories"]
        if advisory["package"] == pin.name
        if any(SpecifierSet(affected, prereleases=True).contains(pin.version) for affected in advisory["affected"])
    ]


def main(arguments: list[str], today: datetime.date | None = None) -> int:
    """Prints what was found."""
    if not arguments:
        print("usage: audit.py REQUIREMENTS...", file=sys.stderr)
        return 2
    try:
        database = json.loads(DATABASE.read_text(encoding="utf-8"))
        age = age_in_days(database, today or datetime.datetime.now(tz=datetime.UTC).date())
        print(f"audit: {len(database['advisories'])} advisories, recorded {database['recorded']}, {age} days ago")
        refuse_older(age, int(os.environ.get("AUDIT_MAX_AGE_DAYS") or "365"))
        wanted = [pin for file in arguments for pin in pins(Path(file))]
        found = findings(database, wanted)
    except (CannotLookError, OSError, ValueError, KeyError) as error:
        print(f"audit: could not look: {error}", file=sys.stderr)
        return 2
    for line in found:
        print(f"audit: {line}", file=sys.stderr)
    print(f"audit: {len(wanted)} pinned packages, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
