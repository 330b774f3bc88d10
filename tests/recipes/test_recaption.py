"""Captions written anew: by the verifier they say what the scene shows, by anybody's function what it gives."""

import json

import numpy as np
import pytest
from PIL import Image

from tranh.data.detect import detect
from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.nn.pixels import to_images
from tranh.recipes import models, recaption
from tranh.recipes.judge import Judge
from tranh.recipes.seen_scene import scene_of
from tranh.types import TranhError


def folder(root, count=5):
    lines = []
    root.mkdir()
    for i in range(count):
        value = scene("one", "test", i)
        Image.fromarray(render(value, 64)).save(root / f"{i}.png")
        lines.append(
            {"file_name": f"{i}.png", "text_en": say(value, "en", "short", i)[0], "label": value.things[0].kind}
        )
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def finished(events):
    *_, last = events
    return last.result


@pytest.mark.parametrize(("level", "least"), [("one", 0.95), ("two", 0.9)])
def test_what_the_verifier_sees_is_said_as_it_is(level, least):
    """On held-out renders: the facts of the scene read are those of the scene drawn."""
    scenes = [scene(level, "test", i) for i in range(60)]
    readings = Judge(models.verifier()).read(to_images(np.stack([render(s, 64) for s in scenes])))
    told = lambda s: sorted((f.group, f.value) for f in visible(s) if f.group not in ("relation", "place"))  # noqa: E731
    right = [told(scene_of(reading)) == told(s) for reading, s in zip(readings, scenes, strict=True)]
    assert np.mean(right) >= least


def test_by_the_verifier_and_back_into_a_source(tmp_path):
    source, out = folder(tmp_path / "short"), tmp_path / "dense"
    assert finished(recaption.recaption(str(source), out, recaption.captioner("verifier"))) == {"kept": 5, "left": 0}
    found = detect(str(out)).read()
    assert len(found) == 5
    for i, item in enumerate(found[k] for k in range(5)):
        value = scene("one", "test", i)
        english = [c.text for c in item.captions if c.language == "en"]
        assert say(value, "en", "short", i)[0] in english and len(english) >= 2
        assert any(c.language == "vi" for c in item.captions) and item.label == value.things[0].kind
        with Image.open(out / item.key) as image:
            np.testing.assert_array_equal(np.asarray(image), render(value, 64))


def test_a_captioner_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine_to_say.py").write_text(
        "def plain(pictures):\n    return [f'a picture of {p.width} pixels' for p in pictures]\n"
        "def both(pictures):\n    return [{'en': 'a picture', 'vi': ['một bức tranh', 'tranh']} for p in pictures]\n"
        "def few(pictures):\n    return ['one']\n"
        "def odd(pictures):\n    return [3 for p in pictures]\n"
    )
    monkeypatch.chdir(tmp_path)
    source = str(folder(tmp_path / "short"))
    for name, said in (("plain", {"a picture of 64 pixels"}), ("both", {"a picture", "một bức tranh", "tranh"})):
        write = recaption.captioner(f"mine_to_say:{name}")
        finished(recaption.recaption(source, tmp_path / name, write, originals=False))
        found = detect(str(tmp_path / name)).read()
        assert {c.text for k in range(5) for c in found[k].captions} == said
    for name in ("few", "odd"):
        write = recaption.captioner(f"mine_to_say:{name}")
        with pytest.raises(TranhError, match="one for each|allowed are"):
            finished(recaption.recaption(source, tmp_path / name, write, name=name))
    with pytest.raises(TranhError, match="no captioner"):
        recaption.captioner("mine_to_say:none")


def test_stopped_anywhere_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(recaption, "AT_ONCE", 2)
    source = folder(tmp_path / "short")
    (source / "3.png").write_bytes(b"no picture")
    write = lambda pictures: ["a thing"] * len(pictures)  # noqa: E731

    def told(out):
        return {p.name: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}

    assert finished(recaption.recaption(str(source), tmp_path / "whole", write)) == {"kept": 4, "left": 1}
    events = recaption.recaption(str(source), tmp_path / "cut", write)
    next(events)
    events.close()
    with (tmp_path / "cut" / "metadata.jsonl").open("a") as file:
        file.write('{"file_name": "written but not comm')
    assert finished(recaption.recaption(str(source), tmp_path / "cut", write)) == {"kept": 4, "left": 1}
    assert told(tmp_path / "cut") == told(tmp_path / "whole")
    with pytest.raises(TranhError, match="another source"):
        finished(recaption.recaption(str(source), tmp_path / "cut", write, originals=False))
