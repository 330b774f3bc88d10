"""Progress, parameter table, source helper and contract functions."""

import io

import engine_toys as toys
import pytest
import torch
from rich.console import Console
from torch import nn

from tranh.engine import progress, table
from tranh.engine.contract import overfit_one_batch, same_after_saving
from tranh.types import Event, TranhError


def events():
    for k in range(1, 26):
        yield Event("prior", k, 25, {"loss": 1 / k, "images_per_second": 10.0, "lr": 0.1, "grad_norm": 1.0, "x": 2.0})
    yield Event("prior", 25, 25, result="done")


def test_plain_lines():
    out = io.StringIO()
    assert list(progress.show(events(), to=out)) == list(events())
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["10/25", "20/25", "25/25", "25/25"]
    assert lines[0].startswith("prior 10/25  loss 0.1  10.0 images/s  lr 0.1  grad_norm 1") and lines[0].endswith(
        "left"
    )


def test_bar_in_a_terminal(monkeypatch):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "Console", lambda file: console)
    assert len(list(progress.show(events(), to=out))) == 26
    assert "prior" in out.getvalue() and "25/25" in out.getvalue() and "10.0 images/s" in out.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(5.9, "0:05"), (65, "1:05"), (3665, "1:01:05")])
def test_clock(seconds, text):
    assert progress._clock(seconds) == text


def test_table_of_parameters():
    module = nn.Sequential(nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 2)), nn.Linear(2, 2))
    module[1].bias.requires_grad_(False)
    assert table.rows(module)[0] == ("0", "[6, 4], [2, 6], ...", 38, 38 / 44)
    text = table.table(module)
    assert (
        "  0.0" in text
        and "86.4%" in text
        and text.splitlines()[-1].split() == ["total", "42", "trained", "44", "100.0%"]
    )
    assert table.rows(nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))))[0][1] == "2 x [2, 2], 2 x [2]"


def test_one_batch_is_learned_by_heart():
    figures = overfit_one_batch(toys.Toy(dropout=0.0, width=64), toys.make_batch(0, 4), steps=60, lr=1e-2, muon_lr=1e-2)
    assert len(figures) == 61 and figures[-1] < toys.Toy.overfit_below * figures[0]
    assert len(overfit_one_batch(toys.Duel(), toys.make_batch(0, 4), steps=3)) == 4


def test_overfit_says_what_is_wrong():
    with pytest.raises(TranhError, match="loss is nan at step 0"):
        overfit_one_batch(toys.Toy(), toys.Source(bad=[0]).batch(0, 4, 0), steps=2)

    class Renamed(toys.Toy):
        overfit = "accuracy"

    with pytest.raises(TranhError, match="names 'accuracy'"):
        overfit_one_batch(Renamed(), toys.make_batch(0, 4), steps=2)


def test_same_after_saving(tmp_path):
    same_after_saving(toys.Toy(width=8), toys.make_batch(0, 4), tmp_path)

    class Forgetful(toys.Toy):
        def __init__(self, width=8):
            super().__init__(width)
            self.config = {}
            self.shift = torch.randn(1)

        def net(self, x):
            return super().net(x) + self.shift

    with pytest.raises(TranhError, match="train.loss differs"):
        same_after_saving(Forgetful(), toys.make_batch(0, 4), tmp_path)
