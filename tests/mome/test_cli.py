"""Commands end with one line for people, or with a traceback for us."""

import pytest

from mome.cli import main
from mome.errors import CorpusError


def test_a_command_that_works_exits_with_zero():
    assert main(lambda: None) == 0


def test_an_error_a_person_can_mend_is_one_line_on_stderr(capsys):
    def command() -> None:
        raise CorpusError("manifest.csv:\n  no column path")

    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.err == "error: manifest.csv: no column path\n"
    assert printed.out == ""


def test_our_own_mistakes_keep_their_traceback():
    def command() -> None:
        raise KeyError("split")

    with pytest.raises(KeyError):
        main(command)


def test_an_interrupted_command_exits_as_shells_expect():
    def command() -> None:
        raise KeyboardInterrupt

    assert main(command) == 130
