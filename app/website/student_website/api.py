"""Asks the student API."""

from __future__ import annotations

import requests

STUDENTS = "/pozos/api/v1.0/get_student_ages"


class ApiError(Exception):
    """The API gave no usable answer; the text is for people and holds no address and no credentials."""


class Api:
    """The student API of one address."""

    def __init__(self, url: str, username: str, password: str, timeout: float) -> None:
        self._url = url
        self._login = (username, password)
        self._timeout = timeout

    def students(self) -> dict[str, str]:
        """All students, name to age; raises ApiError when they cannot be had."""
        try:
            # No redirects: credentials go to the configured address only.
            answer = requests.get(self._url + STUDENTS, auth=self._login, timeout=self._timeout, allow_redirects=False)
        except requests.RequestException as error:
            raise ApiError("The student API does not answer.") from error
        if answer.status_code == requests.codes.unauthorized:
            raise ApiError("The student API refused the website's credentials.")
        if answer.status_code != requests.codes.ok:
            raise ApiError(f"The student API answered with status {answer.status_code}.")
        return _ages(answer)


def _ages(answer: requests.Response) -> dict[str, str]:
    try:
        ages = answer.json()["student_ages"]
        return {str(name): str(age) for name, age in ages.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError("The student API's answer could not be understood.") from error
