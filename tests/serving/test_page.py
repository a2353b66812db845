from __future__ import annotations

import base64
import hashlib
import re

from starlette.testclient import TestClient

from serving.page import create_page


def test_the_page_loads_nothing_from_anywhere() -> None:
    with TestClient(create_page()) as client:
        page = client.get("/")

    assert page.status_code == 200
    assert not re.search(r"""\b(src|href)\s*=\s*["'](?!data:)""", page.text)
    assert "://" not in page.text


def test_its_own_script_and_style_are_allowed_and_no_other() -> None:
    with TestClient(create_page()) as client:
        page = client.get("/")

    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"


def test_the_page_answers_only_at_its_own_path() -> None:
    with TestClient(create_page()) as client:
        assert client.get("/other").status_code == 404
