"""Addresses: which part names the repository and which its revision."""

import pytest

from mome.addresses import public, split_revision

HTTPS = "https://example.org"
WITH_KEY = "https://bob:key@example.org"
WITH_AT = "https://example.org/a@b/speech.git"


@pytest.mark.parametrize(
    ("repository", "revision"),
    [
        (f"{HTTPS}/speech.git", None),
        (f"{HTTPS}/speech.git", "v3"),
        (f"{HTTPS}/speech.git", "feature/new-speakers"),
        (f"{WITH_KEY}/speech.git", None),
        (f"{WITH_KEY}/speech.git", "a/b"),
        (WITH_AT, "release/2026.1"),
        (WITH_AT, None),
        ("git@example.org:team/speech.git", None),
        ("git@example.org:team/speech.git", "refs/tags/v1"),
        ("ssh://git@example.org/speech", "user/x"),
        ("file:///var/registry", "main"),
        ("var/registry", "team/x"),
    ],
)
def test_a_revision_may_hold_a_slash(repository: str, revision: str | None) -> None:
    address = repository if revision is None else f"{repository}@{revision}"
    assert split_revision(address)[0] == (repository, revision)


def test_a_path_with_an_at_sign_can_be_meant_as_a_whole() -> None:
    assert ("var/me@work/registry", None) in split_revision("var/me@work/registry")


def test_who_logs_in_is_not_shown() -> None:
    assert public("at https://bob:key@example.org/x") == "at https://example.org/x"
