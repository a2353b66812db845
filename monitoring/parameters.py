"""The monitor's own section of ``params.yaml``: a monitor on a cluster is given no other."""

from __future__ import annotations

from pathlib import Path

import yaml

from mome.config import MonitorParams, parse_section
from mome.errors import ConfigError

__all__ = ["load_monitor_params"]

_SECTION = "monitor"


def load_monitor_params(path: Path) -> MonitorParams:
    """Read the section ``monitor`` of a file that may hold other sections as well.

    Raises:
        ConfigError: If the file is missing, is not YAML or has no such section, or if a value is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"{path}: no such file; expected params.yaml, or its section {_SECTION!r}"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    section = content.get(_SECTION) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: no section {_SECTION!r}; expected one as in params.yaml")
    try:
        return parse_section(MonitorParams, section)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
