"""Files that parameters name are missed at once, and another content is told from the one before."""

import os
from pathlib import Path
from typing import Any

import pytest

from mome.config import Params, load_params, parse_section
from mome.errors import ConfigError
from mome.files import NO_FILES, fingerprint


def naming(**changes: dict[str, str]) -> Params:
    sections: dict[str, Any] = load_params().sections()
    for section, values in changes.items():
        sections[section] |= values
    return parse_section(Params, sections)


def test_parameters_that_name_no_file_have_no_fingerprint() -> None:
    assert fingerprint(load_params()) == NO_FILES
    assert fingerprint(naming(foundation={"llm": "meta-llama/Llama-3.2-1B@4e20de3"})) == NO_FILES


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("prepare", "face_landmarks"),
        ("foundation", "llm"),
        ("foundation", "video"),
        ("train", "noise"),
        ("evaluate", "noise"),
    ],
)
def test_a_file_that_changes_has_another_fingerprint_and_keeps_it(
    section: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "folder" / "weights"
    file.parent.mkdir()
    for path in (file, file.parent):
        params = naming(**{section: {name: str(path)}})
        file.write_text("other")
        before = fingerprint(params)
        assert fingerprint(params) == before != NO_FILES
        os.utime(file, ns=(1, 1))  # written again, as long as before
        written_again = fingerprint(params)
        file.write_text("longer")
        os.utime(file, ns=(1, 1))
        assert len({before, written_again, fingerprint(params)}) == 3


@pytest.mark.parametrize(
    ("section", "name", "path"),
    [
        ("foundation", "video", "large_vox_iter5.pt"),
        ("foundation", "audio", "/models/whisper"),
        ("train", "noise", "babble.wav"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_where_to_put_it(section: str, name: str, path: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{section}\.{name} is {path}: no such .* on volume mome-models"):
        fingerprint(naming(**{section: {name: path}}))
