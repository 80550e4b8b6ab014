"""docs/scaling.md: every `vipylo` command in it exists, with the options that it names."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from vipylo_rag.cli import app

TEXT = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8").replace("\\\n", "")
SPANS = re.findall(r"`([^`\n]*)`", TEXT) + re.findall(r"^    (.*)$", TEXT, flags=re.M)
COMMANDS = sorted({span for span in SPANS if re.match(r"vipylo \w", span)})


def options(name: str) -> set[str]:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert name in commands
    return {spelling for each in commands[name].params for spelling in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_is_there(command: str) -> None:
    _, name, *words = shlex.split(command, comments=True)
    assert {word for word in words if word.startswith("--")} <= options(name)


def test_there_are_commands_and_every_option_belongs_to_one() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"ingest", "search", "backup", "export", "import"}
    named = {span.split()[0] for span in SPANS if span.startswith("--")}
    assert {"--ray", "--ray-address", "--replicas", "--tenant"} <= named <= options("ingest") | options("reindex")
