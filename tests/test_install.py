"""The installation says before what comes and while that it moves, and ends with pip's own reason.

pip is one that only says and writes down what it is told to.
"""

import re
import sys
import time
from pathlib import Path

import psutil
import pytest

import install
from install import Broken, Build, announce

LOCKED = (Path(__file__).parents[1] / "constraints.txt").read_text().split()
INDEX = "https://torch.example.org/cpu"
CPU, CUDA = "2.14.1, 2.13.0+cpu, 2.13.0, 2.12.1", "2.14.1, 2.13.0, 2.12.1"
PIP = """#!{python}
import os, pathlib, sys, time
with open({calls!r}, "a") as calls:
    calls.write(" ".join(sys.argv[2:]) + "\\n")
if "versions" in sys.argv:
    print("torch (2.14.1)", {versions!r}, sep=chr(10))
    sys.exit(0)
if "compileall" in sys.argv:
    print("Listing 'site-packages'...", "Compiling 'a.py'...", "*** a template", sep=chr(10), flush=True)
    time.sleep({compiling})
    sys.exit(1)
{body}
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Planted":
    monkeypatch.setattr(install.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(install, "LOG_S", 0.2)
    return Planted(tmp_path)


class Planted:
    """An environment whose python is a pip that does as it is told."""

    def __init__(self, folder: Path) -> None:
        self.environment = folder / ".venv"
        self.calls = folder / "calls"

    def pip(self, body: str = "pass", versions: str = CPU, compiling: float = 0) -> Path:
        program = self.environment / "bin" / "python"
        program.parent.mkdir(parents=True)
        told = {"versions": f"Available versions: {versions}", "body": body, "compiling": compiling}
        program.write_text(PIP.format(python=sys.executable, calls=str(self.calls), **told))
        program.chmod(0o755)
        return self.environment

    def asked(self) -> list[str]:
        return self.calls.read_text().splitlines()


def test_the_size_is_said_before_anything_is_downloaded(
    planted: Planted, capfd: pytest.CaptureFixture[str]
) -> None:
    body = 'print("ERROR: out of space"); sys.exit(2)'
    with pytest.raises(Broken):
        install.install(planted.pip(body, CUDA))
    said = capfd.readouterr().out
    assert re.search(r"torch 2\.13\.0 with CUDA, about 3\.\d GB to download, 6\.8 GB on disk", said)
    assert "make run TORCH_INDEX=<address>" in said
    assert "Installed" not in said


def test_a_build_for_the_cpu_needs_no_second_sentence(
    planted: Planted, capfd: pytest.CaptureFixture[str]
) -> None:
    install.install(planted.pip())
    said = capfd.readouterr().out
    assert "torch 2.13.0+cpu for the CPU" in said
    assert "TORCH_INDEX" not in said
    question, everything, _ = planted.asked()
    assert "--index-url" not in question
    assert everything.endswith(
        f"--constraint {install.ROOT / 'constraints.txt'} --editable {install.ROOT}[all]"
    )


def test_modules_are_compiled_on_all_cores_and_a_file_that_cannot_be_stops_nothing(
    planted: Planted, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = planted.environment / "lib" / "python3.11" / "site-packages"
    folder.mkdir(parents=True)
    install.install(planted.pip(compiling=0.5))
    said = capfd.readouterr().out
    *_, everything, compiled = planted.asked()
    assert "--no-compile" in everything
    assert compiled == f"compileall -j 0 {folder}"
    assert "1 modules compiled" in said
    assert said.splitlines()[-1].startswith("Installed in ")


def test_nothing_goes_on_behind_an_interruption(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    started = planted.environment.parent / "started"
    body = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
pathlib.Path({str(started)!r}).write_text(str(child.pid))
child.wait()
"""

    def interrupt(*_: object) -> None:
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "_show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        install.install(planted.pip(body))
    pid = int(started.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_torch_alone_comes_from_the_index_of_torch(planted: Planted) -> None:
    install.install(planted.pip(), INDEX)
    question, torch, everything, _ = planted.asked()
    (locked,) = (line for line in LOCKED if line.startswith("torch=="))
    assert question.endswith(f"--index-url {INDEX}")
    assert torch.endswith(f"--no-deps --index-url {INDEX} {locked}")
    assert "index" not in everything


def test_what_asks_for_cuda_on_linux_has_none_on_a_mac(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install.sys, "platform", "darwin")
    install.install(planted.pip(versions=CUDA))
    assert "for the CPU" in capfd.readouterr().out


def test_an_environment_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "bin").mkdir(parents=True)
    (tmp_path / ".venv").symlink_to(theirs)
    with pytest.raises(Broken, match=r"\.venv is a link to .*theirs, which is out of date for this checkout"):
        install.install(tmp_path / ".venv")
    assert (theirs / "bin").is_dir()


def test_a_log_gets_a_line_now_and_then(planted: Planted, capfd: pytest.CaptureFixture[str]) -> None:
    installed = planted.environment / "lib" / "python3" / "site-packages" / "numpy-2.dist-info"
    body = f"""
pathlib.Path(os.environ["TMPDIR"], "torch.whl").write_bytes(bytes(3_000_000))
print("Collecting numpy==2", "  Downloading numpy.whl", "Collecting torch==2", sep=chr(10), flush=True)
time.sleep(1)
for package in ("numpy", "pip", "setuptools"):
    os.makedirs({str(installed)!r}.replace("numpy", package))
print("Installing collected packages: numpy, torch", flush=True)
time.sleep(1)
"""
    install.install(planted.pip(body))
    said = capfd.readouterr().out
    assert f"2 of {len(LOCKED)} packages found, 3 MB downloaded" in said
    assert f"1 of {len(LOCKED)} packages installed" in said
    assert "\r" not in said


def test_an_error_of_pip_is_its_own_words_without_what_led_there(planted: Planted) -> None:
    body = """
print("Collecting a")
print("ERROR: Could not find a version that satisfies the requirement a==1")
print("WARNING: Location 'x' is ignored: it is neither a file nor a directory.")
print("ERROR: No matching distribution found for a==1")
sys.exit(1)
"""
    with pytest.raises(Broken) as broken:
        install.install(planted.pip(body))
    lines = str(broken.value).splitlines()
    assert lines[0] == "Could not find a version that satisfies the requirement a==1"
    assert lines[1] == "No matching distribution found for a==1"
    assert lines[2:] == ["pip could not install; the next `make` starts again, with what pip has kept."]


def test_an_index_without_the_locked_torch_ends_before_anything_is_installed(planted: Planted) -> None:
    with pytest.raises(Broken, match=r"no torch==2\.13\.0 for this machine and this Python\npip could not"):
        install.install(planted.pip(versions="2.14.1, 2.13.0.dev1, 2.12.1+cpu"))
    assert len(planted.asked()) == 1


def test_an_index_that_was_not_reached_is_part_of_the_reason(planted: Planted) -> None:
    body = """
for number in (4, 3):
    print(f"WARNING: Retrying (Retry(total={number}) after connection broken by 'Connection refused'")
print("ERROR: No matching distribution found for torch")
sys.exit(1)
"""
    with pytest.raises(Broken, match=r"^No matching .* torch\nRetrying \(Retry\(total=3\).*refused'"):
        install.install(planted.pip(body))


def test_the_command_ends_with_one_error(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    planted.pip('print("ERROR: no space left"); sys.exit(1)')
    monkeypatch.setattr(install, "ROOT", planted.environment.parent)
    (planted.environment.parent / "constraints.txt").write_text("numpy==2.0\ntorch==2.13.0\n")
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 1
    assert capfd.readouterr().err.startswith("error: no space left\n")


def test_an_index_that_was_named_is_not_asked_for_again() -> None:
    assert len(announce(Build("2.13.0", cuda=True), 268, chosen=True)) == 1
    assert len(announce(Build("2.13.0", cuda=True), 268)) == 2
