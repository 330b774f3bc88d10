import os

import pytest
import torch
from torch import nn

from tranh import files
from tranh.engine.weights import load_tensors, tensors_of
from tranh.files import read_json, read_tensors, replacing, write_bytes, write_json, write_tensors
from tranh.types import TranhError


def test_failure_leaves_the_old_file(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_disk_is_asked_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        inner = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, inner=inner: calls.append(name) or inner(*a))
    write_json(tmp_path / "a.json", {"x": 1})
    assert calls == ["fsync", "replace", "fsync"] and read_json(tmp_path / "a.json") == {"x": 1}


def test_same_tensors_same_bytes(tmp_path):
    tensors = {"b": torch.randn(3, 4).T, "a": torch.tensor(1.5, dtype=torch.bfloat16), "c": torch.tensor([1, 2])}
    write_tensors(tmp_path / "x", tensors)
    write_tensors(tmp_path / "y", dict(reversed(tensors.items())))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert all(torch.equal(v, read_tensors(tmp_path / "x")[k]) for k, v in tensors.items())


def test_missing_and_not_json(tmp_path):
    with pytest.raises(TranhError, match="cannot be read"):
        read_json(tmp_path / "none")
    with pytest.raises(TranhError, match="cannot be read"):
        read_tensors(tmp_path / "none")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan", float("nan"))
    assert not (tmp_path / "nan").exists() and files.HEADER_LIMIT == 2**24


def test_tied_weights_are_kept_once_and_stay_tied():
    def net():
        layers = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        layers[1].weight = layers[0].weight
        return layers

    a, b = net(), net()
    assert set(tensors_of(a)) == {"0.weight", "0.bias", "1.bias"}
    load_tensors(b, tensors_of(a), "here")
    assert b[0].weight is b[1].weight and torch.equal(a[0].weight, b[1].weight)


def test_wrong_weights_are_described():
    with pytest.raises(TranhError, match=r"missing: bias; unknown: other; of another shape: weight \[1\] for \[3, 2\]"):
        load_tensors(nn.Linear(2, 3), {"weight": torch.zeros(1), "other": torch.zeros(1)}, "file")


def test_state_that_is_no_tensor_is_refused():
    class Odd(nn.Module):
        def get_extra_state(self):
            return {"x": 1}

    with pytest.raises(TranhError, match="is no tensor"):
        tensors_of(Odd())
