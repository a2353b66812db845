"""A page as Kubeflow shows it: in an iframe without any right but scripts, on a machine without network."""

from __future__ import annotations

import html
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

__all__ = ["WIDTH", "browser", "found_browser", "show"]

WIDTH, HEIGHT = 1100, 600  # of the frame: Kubeflow's is as wide as its side panel and 600 pixels tall


def found_browser() -> tuple[str, str] | None:
    """Return Chromium and its driver, or None if either is missing."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


@contextmanager
def browser(binary: str, driver: str, profile: Path) -> Iterator[Any]:
    """Yield a headless browser that resolves no name, and remembers every request and every complaint."""
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",  # the process's own, which root may not have; the frame's sandbox stays
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        # A frame in a process of its own would send its requests past the log.
        "--disable-features=IsolateSandboxedIframes",
        "--disable-site-isolation-trials",
        f"--user-data-dir={profile}",
        f"--window-size={WIDTH + 60},{HEIGHT + 120}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def show(chrome: Any, content: str, folder: Path, height: int = HEIGHT) -> Any:
    """Open a page in a sandboxed frame and return the frame; the browser looks into it afterwards."""
    host = folder / "host.html"
    host.write_text(
        "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'>"
        f"<iframe id=frame sandbox=allow-scripts width={WIDTH} height={height} srcdoc="
        f'"{html.escape(content)}"></iframe>'
    )
    chrome.get(host.as_uri())
    frame = chrome.find_element(By.ID, "frame")
    chrome.switch_to.frame(frame)
    return frame
