"""The page loads nothing from elsewhere, and does in a browser what it says."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
import uvicorn
from scipy.signal import resample_poly
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from mome.synthesis.speakers import speakers
from mome.synthesis.speech import speak
from serving.keys import Key
from serving.page import create_page
from serving.routes import create_app
from tests.serving.over_http import over_http
from tests.serving.planted import Served, syllables, wav

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and chromedriver on the path"
)
WEB = Path(__file__).parents[2] / "serving" / "web"


def test_the_page_and_its_parts_are_served_and_nothing_else() -> None:
    with TestClient(create_page()) as client:
        page = client.get("/")
        parts = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page.text)
        parts += [
            name
            for text in map(Path.read_text, WEB.glob("*.js"))
            for name in re.findall(r"\./(\w+\.js)", text)
        ]

        assert page.status_code == 200
        assert {client.get(f"/{part}").status_code for part in (*parts, "microphone.js")} == {200}
        assert {client.get(path).status_code for path in ("/other", "/index.html", "/../page.py")} == {404}


def test_nothing_comes_from_anywhere_else() -> None:
    for path in WEB.iterdir():
        addresses = re.findall(
            r"[\w.]+://[^\s\"']*", path.read_text().replace("http://www.w3.org/2000/svg", "")
        )
        assert addresses == [], path.name


def test_only_files_of_the_service_run() -> None:
    with TestClient(create_page()) as client:
        page = client.get("/")

    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == (
        "'none'",
        "'self'",
        "'self'",
    )
    assert not re.search(r"<style|\bstyle=|<script>|\bon\w+=", page.text)


@contextmanager
def running(served: Served) -> Iterator[str]:
    app = Starlette(
        routes=[Mount("/v1", create_app(lambda: served.engine, lambda: None)), Mount("/", create_page())]
    )
    with over_http(app) as address:
        yield f"{address}/"


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """A browser whose microphone hears a sentence again and again, and whose camera sees a mouth."""
    spoken = speak("place white with p two now", speakers("test")[0].voice).samples
    sound = resample_poly(spoken / np.abs(spoken).max(), 320, 147)[: 48_000 * 3]
    soundfile.write(folder / "said.wav", np.pad(0.5 * sound, (24_000, 48_000)), 48_000, subtype="PCM_16")
    picture = cv2.imencode(".jpg", np.full((240, 320, 3), 120, np.uint8))[1].tobytes()
    (folder / "seen.mjpeg").write_bytes(picture * 25)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'said.wav'}",
        f"--use-file-for-fake-video-capture={folder / 'seen.mjpeg'}",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        yield chrome
        complaints = [each["message"] for each in chrome.get_log("browser") if each["level"] == "SEVERE"]
        assert complaints == []
    finally:
        chrome.quit()


def until(chrome: Any, script: str, timeout_s: float = 30.0) -> Any:
    """Return what a script says as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := chrome.execute_script(f"return {script}"):
            return value
        time.sleep(0.1)
    return pytest.fail(
        f"never became true: {script}; {chrome.execute_script('return document.body.innerText')}"
    )


@needs_browser
def test_live_captions_with_a_key_and_a_camera(serve: Callable[..., Served], tmp_path: Path) -> None:
    with running(serve(api_keys=(Key("sesame"),))) as url, browser(tmp_path) as chrome:
        chrome.get(url + "style.css")  # the page itself asks without a key at first, and is refused
        chrome.get_log("browser")
        chrome.get(url)
        until(chrome, "document.getElementById('served').textContent.includes('API key')")
        chrome.get_log("browser")
        chrome.find_element("id", "key").send_keys("sesame\t")
        until(chrome, "!document.getElementById('served-scale').hidden")
        chrome.find_element("id", "watch").click()
        chrome.find_element("id", "listen").click()

        said = until(chrome, "document.querySelector('#captions p:not(.speaking):not(.empty)')?.textContent")
        until(chrome, "document.getElementById('mouth-note').textContent === 'no face found'")
        chrome.find_element("id", "listen").click()
        until(chrome, "document.getElementById('listen').textContent === 'Start listening'")
        chrome.get_log("browser")  # of the poll that the key came too late for

    assert said.startswith("audio at a16v5")


@needs_browser
def test_a_wrong_key_is_said_where_it_matters(serve: Callable[..., Served], tmp_path: Path) -> None:
    with running(serve(api_keys=(Key("sesame"),))) as url, browser(tmp_path) as chrome:
        chrome.get(url)
        chrome.find_element("id", "listen").click()
        until(chrome, "document.getElementById('live-state').textContent.includes('is the key right')")
        assert chrome.find_element("id", "listen").text == "Start listening"
        chrome.get_log("browser")


@needs_browser
def test_a_clip_at_every_scale_and_the_last_hour(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(wav(syllables()))
    with running(serve()) as url, browser(tmp_path) as chrome:
        chrome.get(url)
        until(chrome, "document.querySelectorAll('#scale option').length === 5")
        chrome.find_element("css selector", "#scale option[value=all]").click()
        chrome.find_element("id", "file").send_keys(str(tmp_path / "clip.wav"))
        until(chrome, "document.querySelectorAll('#sides tbody tr').length === 2")
        until(chrome, "!document.getElementById('again').disabled")
        rows = [row.text.split() for row in chrome.find_elements("css selector", "#sides tbody tr")]
        marked = [mark.text for mark in chrome.find_elements("css selector", "#sides tbody mark")]

        chrome.find_element("css selector", "#scale option[value='']").click()
        chrome.find_element("id", "again").click()
        until(chrome, "document.getElementById('text').textContent === 'audio at a16v5'")
        note = until(
            chrome,
            "/3 answers/.test(document.getElementById('hour-note').textContent)"
            " && document.getElementById('hour-note').textContent",
        )
        steps = chrome.find_elements("css selector", "#hour .step")

    # A second has 50 frames of sound: 12 tokens of 4, and 3 of 16.
    assert [row[:5] for row in rows] == [
        ["a4v2", "audio", "at", "a4v2", "12"],
        ["a16v5", "audio", "at", "a16v5", "3"],
    ]
    assert marked == ["a16v5"]
    assert "a4v2" in note or "a16v5" in note
    assert len(steps) >= 1


@needs_browser
def test_words_that_differ_are_found(tmp_path: Path) -> None:
    cases = [
        ("set blue in s six soon", "set blue with n six soon", "set blue [with] [n] six soon"),
        ("set blue in s six", "set blue s six soon", "set blue [] s six [soon]"),
        ("a b", "a b", "a b"),
    ]
    app = Starlette(routes=[Mount("/", create_page())])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    with browser(tmp_path) as chrome:
        while not server.started:
            time.sleep(0.01)
        chrome.get(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/")
        got = [
            chrome.execute_async_script(
                "const [one, other, done] = arguments; import('./words.js').then(({ differing }) => done("
                "differing(one.split(' '), other.split(' '))"
                ".map(({ word, differs }) => differs ? `[${word}]` : word).join(' ')))",
                one,
                other,
            )
            for one, other, _ in cases
        ]
        chrome.get_log("browser")  # there is no service behind this page
    server.should_exit = True
    thread.join(10)
    assert got == [expected for *_, expected in cases]
