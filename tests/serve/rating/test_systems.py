"""Where pictures come from, and the verb that puts all of it together."""

import json
import signal
import types

import pytest
import rating_toys as toys
import torch
from PIL import Image
from typer.testing import CliRunner

from tranh import cli
from tranh.data.scenes.world import VERSION
from tranh.engine.evaluate import Case, evaluate
from tranh.recipes.evaluate import asked_of
from tranh.serve.rating import systems
from tranh.serve.rating.votes import Record, Votes
from tranh.types import Event, Request, TranhError


def call(*args):
    return CliRunner().invoke(cli.app, ["rate", *map(str, args)], prog_name="tranh")


KEYS = ["one/test/en/0", "one/test/vi/0", "two/unseen/en/3", *(f"samples/one/test/en/0_{k}" for k in range(4))]


def evaluated(folder, density="dense", value=0.0):
    """What an evaluation of Scenes leaves."""
    cases = [Case(key, Request(asked_of(key, density).caption)) for key in KEYS]
    made = {"none": lambda cases, images: [0 for _ in cases]}
    protocol = {"scenes": VERSION, "density": density}
    for _ in evaluate(lambda r: torch.full((len(r), 3, 8, 8), value), cases, made, folder, protocol=protocol):
        pass
    return folder


@pytest.mark.parametrize("density", ["dense", "short"])
def test_an_evaluation_is_read_with_its_captions(tmp_path, density):
    found = systems.read(evaluated(tmp_path / "a", density), "a")
    said = {asked_of(key, density).caption: asked_of(key, density).language for key in KEYS}
    assert {next(iter(p.captions.items()))[::-1] for p in found.prompts.values()} == set(said.items())
    sampled = found.pictures[systems.plain(asked_of(KEYS[0], density).caption)]
    assert [p.key for p in sampled] == KEYS[3:]  # the samples, not the single picture
    assert [len(p) for p in found.pictures.values()].count(1) == 2
    assert sampled[0].read() == (tmp_path / "a/pictures" / f"{KEYS[3]}.png").read_bytes()


def test_keys_that_are_none():
    for key in (
        "x/test/en/0",
        "one/x/en/0",
        "one/test/xx/0",
        "one/test/en/x",
        "samples/one/test/en/0",
        "one/test/en/0_1",
    ):
        assert asked_of(key) is None
    assert asked_of("samples/one/test/vi/7_2").key == "samples/one/test/vi/7_2"


def test_other_evaluations_say_their_captions(tmp_path):
    evaluated(tmp_path / "a")
    lines = ['{"protocol": {}}', '{"key": "mine/0", "caption": "con mèo", "language": "vi"}']
    (tmp_path / "a/results.jsonl").write_text("\n".join(lines), "utf-8")
    assert systems.read(tmp_path / "a", "a").prompts["con mèo"].captions == {"vi": "con mèo"}
    old = '{"protocol": {"scenes": 0}}'
    (tmp_path / "a/results.jsonl").write_text(f'{old}\n{{"key": "one/test/en/0"}}', "utf-8")
    with pytest.raises(TranhError, match="does not say"):
        systems.read(tmp_path / "a", "a")
    for record, words in (('{"key": "mine/0"}', "does not say"), ('{"key": "../../x", "caption": "x"}', "outside")):
        (tmp_path / "a/results.jsonl").write_text(f"{lines[0]}\n{record}", "utf-8")
        with pytest.raises(TranhError, match=words):
            systems.read(tmp_path / "a", "a")


def test_captioned_pictures_are_read(tmp_path):
    found = systems.read(toys.folder(tmp_path / "a", 40), "a")
    assert found.prompts["a thing with number 3"].captions == {
        "en": "a thing with number 3",
        "vi": "một vật có số 3",
    }
    assert {len(p) for p in found.pictures.values()} == {2}


def test_the_language_of_a_caption_is_seen(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for text, language in (("một con mèo", "vi"), ("a cat", ""), ("café", ""), ("MỘT", "vi")):
        (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": text}), "utf-8")
        assert next(iter(systems.read(tmp_path, "a").prompts.values())).captions == {language: text}


def test_prompts(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("\ufeffa cat\n\n# a note\ncon mèo\nA  cat.\n", "utf-8")
    assert systems.read_prompts(file) == ["a cat", "con mèo"]
    file.write_text("\n# nothing\n")
    with pytest.raises(TranhError, match="0 prompts"):
        systems.read_prompts(file)
    with pytest.raises(TranhError, match="one prompt a line"):
        systems.read_prompts(tmp_path / "none")


def test_names():
    assert systems.names(["x/a", "y/b/"]) == ["a", "b"]
    assert systems.names(["x/a", "y/a", "b"]) == ["x/a", "y/a", "b"]


class Fake:
    """A model that draws its seed and counts."""

    hash = "abc"

    def __init__(self):
        self.asked = []

    def generate_events(self, request):
        self.asked.append((request.prompt, request.seed))
        settings = {"prompt": request.prompt, "seed": request.seed, "hash": self.hash}
        image = Image.new("RGB", (8, 8), (request.seed, 0, 0))
        yield Event("draw", 1, 1, result=types.SimpleNamespace(images=[image], settings=[settings]))


def test_a_model_draws_what_is_not_there_yet(tmp_path, monkeypatch):
    fake = Fake()
    monkeypatch.setattr(systems.models, "load", lambda name: fake)

    def draw(prompts):
        fake.asked.clear()
        *_, final = systems.draw("m", prompts, tmp_path / "m", "m", samples=2, seed=5)
        return final.result

    found = draw(["a cat", "con mèo"])
    assert fake.asked == [("a cat", 5), ("a cat", 6), ("con mèo", 5), ("con mèo", 6)]
    assert {key: len(p) for key, p in found.pictures.items()} == {"a cat": 2, "con mèo": 2}
    draw(["a cat", "con mèo"])
    assert fake.asked == []
    draw(["a cat", "a dog"])
    assert fake.asked == [("a dog", 5), ("a dog", 6)]
    fake.hash = "other weights"
    draw(["a cat"])
    assert len(fake.asked) == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "two or more"),
        (["{0}"], "two or more"),
        (["{0}", "{1}", "--questions", "beauty"], "beauty"),
        (["{0}", "nothing-here"], "--prompts"),
        (["{0}", "{1}", "--host", "0.0.0.0"], "--token"),
        (["{0}", "{1}", "--lang", "fr"], "auto, en, vi"),
        (["--results"], "is not there"),
    ],
    ids=str,
)
def test_the_verb_refuses(folders, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    result = call(*(str(a).format(*folders) for a in args))
    assert result.exit_code == 1 and words in result.stderr, result.output


def test_results_and_csv_need_the_file_alone(tmp_path):
    votes = Votes(tmp_path / "v")
    votes.begin({"systems": {"a": "", "b": ""}})
    rater = votes.enter("vi")
    for k, answer in enumerate(("left", "right", "left")):
        votes.add(Record(rater.id, k, "caption", "x", "x", "vi", "a", "b", answer, "", None, "vi", 1.0))
    votes.close()
    result = call("--votes", tmp_path / "v", "--results", "--csv", tmp_path / "v.csv")
    assert result.exit_code == 0, result.output
    assert "a  strength +0.35" in result.stdout and "a  preferred to b  67%" in result.stdout
    assert len((tmp_path / "v.csv").read_text("utf-8").splitlines()) == 4


def test_votes_of_another_study_are_left_alone(folders, votes):
    result = call(*folders[:2], "--votes", votes.path)
    assert result.exit_code == 1 and "votes of another study (systems: " in result.stderr and not votes.all()


def test_ctrl_c_says_how_to_go_on(folders, tmp_path):
    with toys.command(*folders, "--votes", tmp_path / "v") as (process, _, _):
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(20) == 130 and "The same command goes on" in said and "Traceback" not in said
