"""``--help`` of every command."""

import pytest

from training.__main__ import COMMANDS, main


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_each_command_prints_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"], {})
    assert capsys.readouterr().out.startswith(f"usage: ./kennel {command}")
