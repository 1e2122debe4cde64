"""The questions of setup: Enter takes the default, an impossible answer is asked again."""

from __future__ import annotations

import click
from click.testing import CliRunner

from appliance.choices import Choices
from appliance.wizard import ask_choices

QUESTIONS = 9


def asked(answers: str) -> tuple[Choices, str]:
    made: list[Choices] = []

    @click.command()
    def ask() -> None:
        made.append(ask_choices(Choices()))

    result = CliRunner().invoke(ask, input=answers, catch_exceptions=False)
    assert result.exit_code == 0
    return made[0], result.output


def test_enter_takes_every_default() -> None:
    choices, _ = asked("\n" * QUESTIONS)
    assert choices == Choices()


def test_answers_are_taken_and_impossible_ones_asked_again() -> None:
    choices, said = asked("0.0.0.0\n9001\n70000\n2049\n0\n1\n2\n1\n\nphotos\n10.0.0.0/8 192.0.2.0/24\n")
    assert choices.listen == "0.0.0.0"
    assert (choices.s3_port, choices.nfs_port, choices.mount_port) == (9001, 2049, 0)
    assert (choices.nodes, choices.copies) == (1, 1)
    assert choices.bucket == "photos"
    assert choices.clients == ("10.0.0.0/8", "192.0.2.0/24")
    assert "70000 is not in the range" in said
