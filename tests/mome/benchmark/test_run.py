"""The command as a person calls it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mome.benchmark import experts, run
from mome.benchmark.__main__ import benchmark
from mome.benchmark.equality import ResultsDifferError
from mome.benchmark.options import Options
from mome.cli import main
from mome.tuners.mome.layer import Experts


def test_a_quick_run_writes_the_table(tmp_path: Path) -> None:
    output = tmp_path / "docs" / "performance.md"
    arguments = ("--quick", "--threads", "1", "--repetitions", "1", "--layers", "2", "--output", str(output))
    command = [sys.executable, "-m", "mome.benchmark", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = output.read_text()
    assert page == done.stdout
    assert f"torch {torch.__version__}" in page
    assert "- threads: 1\n" in page
    assert "Quick run" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {table[0].count("|")}
    for what in (
        "MoME layer, 1 token, float32, forward and backward",
        "LLM with experts, one token after",
        "training step, embedded size, 1 clip ",
        "LLM alone",
        "evaluation, embedded size, 4 pairs",
        "a clip of 2 s end to end at (16,5) against (4,2)",
        "8 clips of 2 to 4 s read together, Llama-3.2-1B shapes",
    ):
        assert any(what in line and ("reached" in line or "missed" in line) for line in table), what
    unmeasured = [line for line in table if "not measured" in line]
    assert len(unmeasured) == 3
    assert all("needs a GPU" in line for line in unmeasured)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--comparisons", "sprint"), "unknown comparison sprint; expected experts"),
        (("--repetitions", "0"), "--repetitions is 0, expected at least 1"),
        (("--device", "cuda:77"), "--device is cuda:77"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["mome.benchmark", *arguments])
    assert main(benchmark) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_nothing_is_timed_when_the_results_differ(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Experts.forward
    monkeypatch.setattr(Experts, "forward", lambda self, x_BTD: right(self, x_BTD) * 1.001)
    monkeypatch.setattr(experts, "time_in_turn", lambda *_, **__: pytest.fail("was timed"))
    with pytest.raises(ResultsDifferError, match="MoME layer, 1 token: output differs"):
        run.run(options, ["experts"], "", None)
