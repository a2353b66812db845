"""What the files at the root say about each other."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def test_constraints_pin_and_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.]+", line)] == []
    assert lines == sorted(lines, key=str.lower)


def test_every_dependency_is_pinned() -> None:
    pinned = names((ROOT / "constraints.txt").read_text().splitlines())
    wanted = names(PROJECT["project"]["dependencies"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted |= names(extra)
    assert wanted - {"mome"} <= pinned


def test_importing_the_library_brings_no_platform_tool_and_no_application_code() -> None:
    code = (
        "import pkgutil, sys, mome\n"
        "for found in pkgutil.walk_packages(mome.__path__, 'mome.'):\n"
        "    if not found.name.endswith('__main__'): __import__(found.name)\n"
        "tools = {'kfp', 'dvc', 'great_expectations', 'bentoml', 'evidently'}\n"
        "folders = {'data', 'serving', 'monitoring', 'components', 'pipelines'}\n"
        "print(sorted((tools | folders) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_imports_go_one_way_and_one_folder_has_one_tool() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def _commands() -> list[list[str]]:
    written = [stage["cmd"] for stage in DVC.values()]
    return [line.split() for cmd in written for line in (cmd if isinstance(cmd, list) else [cmd])]


@pytest.mark.parametrize("command", _commands(), ids=lambda command: command[2])
def test_a_stage_calls_a_command_that_exists_with_options_that_it_has(command: list[str]) -> None:
    assert command[:2] == ["python", "-m"]
    done = subprocess.run(
        [sys.executable, "-m", command[2], "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for option in (word for word in command if word.startswith("--")):
        assert option in done.stdout


def test_no_number_of_the_experiment_is_read_as_text() -> None:
    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        return [value] if isinstance(value, str) else []

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert [text for text in texts(params) if re.fullmatch(r"[-+.\d]+([eE][-+]?\d+)?", text)] == []


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert declared is not None
    done = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE) == declared[1].split()
