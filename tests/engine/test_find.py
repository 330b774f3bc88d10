import sys
import types

import engine_toys as toys
import pytest
import torch

from tranh.engine import find
from tranh.types import Family, TranhError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Stands in for tranh.families with three files."""
    folder = tmp_path / "house_for_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "glide.py").write_text(
        "from tranh.types import Family\nfrom house_for_tests.clip import Clip\nclass Glide(Family): pass\n"
    )
    (folder / "clip.py").write_text("from tranh.types import Family\nclass Clip(Family): pass\n")
    (folder / "two.py").write_text("from tranh.types import Family\nclass A(Family): pass\nclass B(Family): pass\n")
    (folder / "_hidden.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(find, "PACKAGE", "house_for_tests")
    yield
    for name in [n for n in sys.modules if n.startswith("house_for_tests")]:
        del sys.modules[name]


class Point:
    name = "outside"

    def __init__(self, value):
        self.value = value

    def load(self):
        return self.value


def test_name_is_the_file(package):
    assert find.families() == ["clip", "glide", "two"]
    assert find.family("glide").__name__ == "Glide"  # and not Clip, which it imports


@pytest.mark.parametrize("name", ["glid", "Glide", "os.path", "../glide", ""])
def test_unknown_name_is_answered_with_the_list(package, name):
    with pytest.raises(TranhError, match="Families: clip, glide, two") as found:
        find.family(name)
    assert ("Did you mean glide?" in str(found.value)) == (name in ("glid", "Glide", "../glide"))


def test_two_families_in_a_file(package):
    with pytest.raises(TranhError, match="defines 2 families"):
        find.family("two")


@pytest.mark.parametrize("as_module", [False, True])
def test_entry_point_admits_outsiders(package, monkeypatch, as_module):
    class Outside(Family):
        pass

    module = types.ModuleType("outsider")
    Outside.__module__, module.Outside = "outsider", Outside
    monkeypatch.setattr(find, "entry_points", lambda group: [Point(module if as_module else Outside)])
    assert find.families() == ["clip", "glide", "outside", "two"] and find.family("outside") is Outside


def test_build_is_a_function_of_the_seed():
    torch.manual_seed(3)
    a, b, c = (find.build(toys.stage(seed=s, model={"width": 8}), toys.Toy) for s in (1, 1, 2))
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert torch.equal(a.first.weight, b.first.weight) and not torch.equal(a.first.weight, c.first.weight)


def test_real_families_can_be_listed():
    assert isinstance(find.families(), list)
