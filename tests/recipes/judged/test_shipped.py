"""The verifier that is shipped agrees with the renderer, and its card says how far."""

import json

import pytest
from typer.testing import CliRunner

from tranh.cli import app
from tranh.recipes import models
from tranh.recipes.judge import Judge, ceiling
from tranh.types import capabilities


@pytest.fixture(scope="module")
def verifier():
    return models.verifier()


@pytest.mark.parametrize("level", ["one", "two", "full"])
@pytest.mark.parametrize("split", ["test", "unseen"])
def test_it_reads_what_was_drawn(verifier, level, split):
    verdicts = list(ceiling(Judge(verifier), level, split, 64))
    asked = sum(len(verdict.facts) for verdict in verdicts)
    right = sum(sum(verdict.right) for verdict in verdicts)
    assert right / asked > 0.975
    told = models.available()
    card = next(model.card for model in told if model.name == models.JUDGE)
    whole = sum(verdict.exact for verdict in verdicts) / len(verdicts)
    assert abs(whole - card["exact"][level][split]) < 0.12  # 64 pictures: three standard errors near 0.9


def test_it_answers_and_draws_nothing(verifier):
    assert capabilities(verifier) == ("answers",)


@pytest.mark.parametrize("command", [["a red circle", "--model", "verifier-1"], ["evaluate", "verifier-1"]])
def test_asked_to_draw_it_says_what_it_does(command):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "makes no pictures (it answers)" in result.output


def test_its_card_names_what_it_was_trained_on():
    card = json.loads((models.folder(models.JUDGE) / "system.json").read_text("utf-8"))["card"]
    assert {"name", "summary", "recipe", "time", "machine", "exact", "limits", "licence"} <= card.keys()
