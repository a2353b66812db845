"""The monitor reads its own section, from a file with all of them or with that one alone."""

from pathlib import Path

import pytest
import yaml

from mome.config import load_params
from mome.errors import ConfigError
from monitoring.parameters import load_monitor_params

PARAMS = Path(__file__).parents[2] / "params.yaml"
SECTION = yaml.safe_load(PARAMS.read_text())["monitor"]


def test_the_whole_file_and_its_section_alone_say_the_same(tmp_path: Path) -> None:
    alone = tmp_path / "monitor.yaml"
    alone.write_text(yaml.safe_dump({"monitor": SECTION}))
    assert load_monitor_params(alone) == load_monitor_params(PARAMS) == load_params(PARAMS).monitor


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {}", "no section 'monitor'"),
        ("monitor: 3", "no section 'monitor'"),
        ("- 1", "no section 'monitor'"),
        ("monitor: {", "not YAML"),
        (yaml.safe_dump({"monitor": SECTION | {"window": "20"}}), "window: "),
        (yaml.safe_dump({"monitor": SECTION | {"windows": 20}}), "windows: unknown key"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_in_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as raised:
        load_monitor_params(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_monitor_params(tmp_path / "monitor.yaml")
