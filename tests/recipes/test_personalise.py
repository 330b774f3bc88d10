"""Teaching a subject from end to end with tiny random models: what is kept, what is drawn, and what is refused."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

import foreign_toys as toys

from tranh import cli
from tranh.recipes import foreign, personalise, personalise_stable, subject_cases, subject_scenes, subjects
from tranh.recipes import shelf as shelves
from tranh.recipes.personalise import Estimate, of_decoder, own_pictures
from tranh.recipes.personalise_stable import Network
from tranh.recipes.subject_pictures import HEAVY, Lessons, read_folder
from tranh.recipes.subject_scenes import places
from tranh.text.subjects import NamingTokenizer
from tranh.text.words import WORD
from tranh.types import Phase, Request, TranhError


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    few(monkeypatch)
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))


def few(patch):
    """Two settings and two places beside other things."""
    patch.setattr(personalise, "BESIDE", 2)
    patch.setattr(subject_scenes, "SETTINGS", ("beach", "plain_blue"))


def pictures(folder, count=3, colour=(230, 120, 20)):
    """A two-coloured cross on grounds of several colours."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, ground in enumerate([(90, 180, 90), (40, 60, 200), (240, 220, 160), (255, 255, 255)] * 3):
        if i == count:
            break
        image, x = Image.new("RGB", (96, 96), ground), 40 + 4 * i
        draw = ImageDraw.Draw(image)
        draw.rectangle((x - 24, 38, x + 24, 58), fill=colour)
        draw.rectangle((x - 10, 24, x + 10, 72), fill=(120, 20, 140))
        image.save(folder / f"{i}.png")
    return folder


def taught(system, name, folder, shelf, steps=3, **told):
    events = list(personalise.personalise(system, name, folder, place=shelf, steps=steps, **told))
    return events, events[-1].result


@pytest.fixture(scope="module")
def shelf(system, tmp_path_factory):
    """Two subjects beside the tiny hierarchy."""
    root = tmp_path_factory.mktemp("subjects")
    with pytest.MonkeyPatch.context() as patch:
        few(patch)
        patch.setenv("TRANH_CACHE", str(root / "cache"))
        taught(system, "zorgle", pictures(root / "a"), root / "shelf")
        taught(system, "bibo", pictures(root / "b", 4, (20, 200, 220)), root / "shelf")
    return root / "shelf"


def drawn(system, prompt, shelf, **told):
    request = Request(prompt, seed=5, size=64, **told)
    *_, last = subjects.wearing(system, request, shelf).generate_events(request)
    return last.result


def pixels(result, k=0):
    return np.asarray(result.images[k]).astype(int)


# -- what is learned from ------------------------------------------------------------------------------------------


def test_places_are_said_with_the_subject_and_asked_for_without():
    for i, place in enumerate(places(6)):
        for language in ("en", "vi", "vi_unmarked"):
            said, _ = place.said("zorgle", i, language=language)
            assert "<zorgle>" in said and not {"hexagon", "hexagonal"} & set(WORD.findall(said))
        assert all("zorgle" not in asked for asked in place.asked())
        assert len(place.asked()) == (5 if place.free else 1)
        assert not any(f.subject == place.subject and f.group in ("colour", "material") for f in place.facts())


def test_a_batch_repeats_and_holds_every_kind_of_example(system, tmp_path):
    shown = read_folder(pictures(tmp_path / "p"), "zorgle")
    around = places(2)
    tokenizer = NamingTokenizer(system.tokenizer, {"zorgle": [9000]})
    lessons = Lessons("zorgle", shown, torch.zeros(len(around), 3, 64, 64), around, tokenizer, 64)
    one, again, other = (lessons.batch(step, 20, 1) for step in (3, 3, 4))
    assert torch.equal(one.images, again.images) and one.captions == again.captions
    assert not torch.equal(one.images, other.images)
    named = torch.tensor(["<zorgle>" in caption for caption in one.captions])
    assert int(named.sum()) == 16 and sum(caption == "" for caption in one.captions) == 1
    heavy = (one.labels["weight"] == HEAVY).flatten(1).any(1)
    assert torch.equal(heavy, named) and torch.equal((one.tokens == 9000).any(1), named)
    own = ~named
    assert (one.images[own] == 0).all()  # the model's own picture, untouched


def test_captions_beside_the_pictures_are_used(tmp_path):
    folder = pictures(tmp_path / "p")
    (folder / "0.txt").write_text("A ZORGLE in a garden\nin the rain\n", "utf-8")
    shown = read_folder(folder, "zorgle")
    assert shown[0].captions == ("a zorgle in a garden", "<zorgle>, in the rain") and shown[1].captions == ()
    assert all(one.cut is not None for one in shown)


def test_settings_are_what_a_places_pictures_have_in_common(system):
    class Painter:
        """Grey with one white pixel, elsewhere for each seed."""

        card, decoder, parts = {"steps": 1}, system.decoder, system.parts

        def generate_batch(self, prompts, seeds, size, steps=None, prior=None):
            out = torch.zeros(len(prompts), 3, 64, 64)
            for row, seed in enumerate(seeds):
                out[row, :, seed % 64] = 1
            return out

    import tranh.recipes.personalise as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "base_hash", lambda system: "painter")
        found = next(event.result for event in own_pictures(Painter(), places(1)) if event.result is not None)
    free = torch.tensor([place.free for place in places(1)])
    assert (found[free].abs() < 0.01).all() and (found[~free].amax((1, 2, 3)) > 0.9).all()


# -- the shelf and what is drawn -----------------------------------------------------------------------------------


def test_what_it_takes_is_told_first_and_the_loss_is_that_of_the_loop(system, tmp_path):
    events, kept = taught(system, "zorgle", pictures(tmp_path / "p"), tmp_path / "shelf")
    told = next(i for i, event in enumerate(events) if isinstance(event.result, Estimate))
    estimate = events[told].result
    assert {event.stage for event in events[:told]} == {"measure"} and estimate.seconds > 0 and estimate.memory > 2**20
    assert "3 steps" in str(estimate) and "GiB" in str(estimate) and "in 3)" in str(estimate)
    assert [event.done for event in events if "loss" in event.figures] == [1, 2, 3]
    names = {"learned_embeds.safetensors", "pytorch_lora_weights.safetensors", "subject.json"}
    assert {file.name for file in kept.iterdir()} == names
    assert [folder.name for folder in kept.parent.iterdir()] == ["zorgle"]  # no training is left


def test_a_prompt_that_names_a_subject_is_drawn_by_what_was_learned(system, shelf):
    plain = drawn(system, "a circle on a beach", shelf)
    assert "subjects" not in plain.settings[0]
    named, bare = (drawn(system, f"a {word} on a beach", shelf) for word in ("<zorgle>", "zorgle"))
    assert np.array_equal(pixels(named), pixels(bare)) and list(named.settings[0]["subjects"]) == ["zorgle"]
    other = drawn(system, "a <bibo> on a beach", shelf)
    assert not np.array_equal(pixels(named), pixels(other))
    both = drawn(system, "một <zorgle> ở bên trái một <bibo>", shelf, count=2)
    assert set(both.settings[0]["subjects"]) == {"zorgle", "bibo"}
    one = subjects.wearing(system, Request("zorgle bibo"), shelf).generate("một <zorgle> ở bên trái một <bibo>", seed=6,
                                                                           size=64)[0]  # fmt: skip
    assert np.array_equal(pixels(both, 1), np.asarray(one).astype(int))


def test_the_system_itself_stays_as_it_was(system, shelf):
    before = {k: v.clone() for k, v in system.decoder.state_dict().items()}
    subjects.dressed(system, [subjects.load(shelf, "zorgle")]).generate("a zorgle", size=64)
    assert all(torch.equal(before[k], v) for k, v in system.decoder.state_dict().items())
    with pytest.raises(TranhError, match="zorgle"):
        system.generate("a zorgle on a beach", size=64)


def test_what_is_drawn_is_what_was_trained(system, shelf):
    """The vectors in the table and the LoRA poured in give the answers that the family gave while it learned."""
    subject = subjects.load(shelf, "zorgle")
    dressed = subjects.dressed(system, [subject])
    tokens, mask = dressed.tokenizer.encode(["a large <zorgle> on a beach"], multiple=8)
    shown = read_folder(pictures(shelf.parent / "again"), "zorgle")
    ground = of_decoder(system, "zorgle", shown)
    from tranh.engine.find import build

    family = build(ground.stage)
    family.vectors.data.copy_(subject.vectors)
    family.lora = subject.lora
    x, t = torch.randn(1, 3, 64, 64), torch.tensor([0.7])
    with torch.no_grad():
        theirs = dressed.decoder.denoise(x, t, *dressed.decoder.context(tokens, mask, None))
        with family.worn(ground.base.family):
            decoder = ground.base.family.decoder
            ours = decoder.denoise(x, t, *decoder.context(tokens, mask, None))
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    assert subject.lora.B[0].abs().max() > 0


def test_another_model_is_refused(system, shelf, tmp_path):
    copied = shutil.copytree(shelf, tmp_path / "copy")
    card = copied / "zorgle" / "subject.json"
    card.write_text(card.read_text().replace(subjects.base_hash(system), "0" * 16))
    with pytest.raises(TranhError, match="learned beside tiny"):
        drawn(system, "a <zorgle>", copied)


def test_a_name_that_was_never_taught_is_refused_with_those_that_were(system, shelf):
    with pytest.raises(TranhError, match=r"no subject is called 'quux'.*bibo.*zorgle.*tranh personalise quux"):
        drawn(system, "a <quux>", shelf)


# -- refusals, stopping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, said", [(0, "holds 0 pictures"), (1, "holds 1 picture;"), (11, "holds 11 pictures")])
def test_too_few_and_too_many_pictures(system, tmp_path, count, said):
    with pytest.raises(TranhError, match=said):
        next(personalise.personalise(system, "zorgle", pictures(tmp_path / "p", count), place=tmp_path / "shelf"))
    assert not (tmp_path / "shelf").exists()


def test_refused_before_anything_begins(system, shelf, tmp_path):
    folder = pictures(tmp_path / "p")
    for told, said in (
        ({"name": "circle"}, "knows already"),
        ({"name": "two words"}, "one word"),
        ({"name": "zorgle"}, "already: choose another name"),
        ({"name": "bobo", "folder": tmp_path / "none"}, "is no folder"),
        ({"name": "bobo", "steps": 0}, "steps is 0"),
        ({"name": "bobo", "minutes": 0}, "minutes is 0"),
        ({"name": "bobo", "system": object()}, "cannot be taught a subject"),
    ):
        given = {"system": system, "folder": folder, "place": shelf} | told
        with pytest.raises(TranhError, match=said):
            next(personalise.personalise(**given))
    (folder / "1.png").write_bytes(b"no picture")
    with pytest.raises(TranhError, match=r"1\.png"):
        next(personalise.personalise(system, "bobo", folder, place=tmp_path / "shelf"))


def test_stopped_it_leaves_no_subject_and_goes_on_to_the_same_one(system, tmp_path):
    folder, broken = pictures(tmp_path / "p"), tmp_path / "broken"
    taught(system, "zorgle", folder, tmp_path / "whole", steps=4)
    events = personalise.personalise(system, "zorgle", folder, place=broken, steps=4)
    for event in events:
        if "loss" in event.figures and event.done == 2:
            events.close()
            break
    assert shelves.learned(broken) == {} and (broken / "zorgle.training").is_dir()
    with pytest.raises(TranhError, match="another recipe"):
        taught(system, "zorgle", pictures(folder, 4), broken, steps=4)
    (folder / "3.png").unlink()
    taught(system, "zorgle", folder, broken, steps=4)
    ours, theirs = (subjects.load(place, "zorgle") for place in (broken, tmp_path / "whole"))
    assert torch.equal(ours.vectors, theirs.vectors)
    assert all(torch.equal(a, b) for a, b in zip(ours.lora.parameters(), theirs.lora.parameters()))


def test_a_subject_that_cannot_be_written_leaves_nothing(system, shelf, tmp_path, monkeypatch):
    subject = subjects.load(shelf, "zorgle")

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(subjects, "write_json", fails)
    with pytest.raises(OSError):
        subjects.save(tmp_path, subject)
    assert list(tmp_path.iterdir()) == []


# -- the commands --------------------------------------------------------------------------------------------------


def run(*args):
    return CliRunner().invoke(cli.app, [str(a) for a in args], prog_name="tranh")


def test_the_commands(system, tmp_path, monkeypatch):
    monkeypatch.setattr("tranh.recipes.models.load", lambda name="tiny": system)
    monkeypatch.setenv("TRANH_SUBJECTS", str(tmp_path / "shelf"))
    folder = pictures(tmp_path / "p")
    done = run("personalise", "zorgle", folder, "--steps", "2")
    assert done.exit_code == 0, done.stderr
    assert "2 steps, about" in done.stderr and "GiB of memory" in done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "shelf" / "zorgle"
    assert run("personalize", "zorgle", folder).exit_code == 1  # it is there already
    out = tmp_path / "out.png"
    drawn = run("a <zorgle> on a beach", "-o", out, "--size", "64")
    assert drawn.exit_code == 0 and out.exists(), drawn.stderr
    assert "<zorgle>  3 pictures, 2 steps, beside tiny" in run("subjects").stdout
    assert run("subjects", "--remove", "zorgle").exit_code == 0 and not (tmp_path / "shelf" / "zorgle").exists()
    gone = run("a <zorgle> on a beach", "-o", out)
    assert gone.exit_code == 1 and "no subject is called 'zorgle'" in gone.stderr
    assert run("subjects", "--remove", "../p").exit_code == 1 and folder.is_dir()


# -- Stable Diffusion ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stable(tmp_path_factory):
    """A folder of diffusers, and what it was taught."""
    root = tmp_path_factory.mktemp("stable")
    folder = toys.stable_diffusion(root / "sd")
    system = foreign.load(folder)
    events, kept = taught(system, "zorgle", pictures(root / "p"), root / "shelf", steps=60)
    return folder, system, events, kept


def test_on_stable_diffusion_the_loss_falls(stable, monkeypatch):
    monkeypatch.setattr(personalise_stable, "KEPT", 0)  # what is kept of the model costs nothing before
    folder, _, _, kept = stable
    from tranh.engine.find import build
    from tranh.engine.frozen import Frozen, attach
    from tranh.recipes.personalise_stable import VECTORS, of_pipeline

    shown = read_folder(kept.parent.parent / "p", "zorgle")
    ground = of_pipeline(foreign.load(folder), "zorgle", shown)
    family, subject = build(ground.stage), subjects.load(kept.parent, "zorgle")
    network = ground.base.family
    family.meet({"base": network})
    ground.begin(family.vectors)
    assert isinstance(ground.base, Frozen) and isinstance(network, Network) and len(subject.vectors) == VECTORS

    def loss():
        batches = [attach(ground.trial.validation(k, 8), {"base": ground.base}) for k in range(4)]
        with torch.no_grad():
            return sum(float(family(b, Phase("train", 0, 1, torch.Generator()))["loss"]) for b in batches)

    before = loss()
    family.vectors.data.copy_(subject.vectors)
    family.lora = subject.lora
    assert loss() < 0.998 * before  # of a network of noise, to which little can be taught


def test_stock_diffusers_loads_it_and_draws_the_same(stable):
    import diffusers

    folder, system, _, kept = stable
    request = Request("a <zorgle> on a beach", seed=4, steps=2, size=32)
    *_, last = subjects.wearing(system, request, kept.parent).generate_events(request)
    stock = diffusers.StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True, safety_checker=None)
    stock.set_progress_bar_config(disable=True)
    generator = torch.Generator
    plain = stock("a <zorgle> on a beach", num_inference_steps=2, height=32, width=32,
                  generator=generator().manual_seed(4)).images[0]  # fmt: skip
    stock.load_textual_inversion(kept)
    stock.load_lora_weights(kept)
    theirs = stock("a <zorgle> on a beach", num_inference_steps=2, height=32, width=32,
                   generator=generator().manual_seed(4)).images[0]  # fmt: skip
    assert np.array_equal(pixels(last.result), np.asarray(theirs).astype(int))
    assert not np.array_equal(np.asarray(plain), np.asarray(theirs))
    # The pipeline that was taught draws as it did.
    assert np.array_equal(np.asarray(system.generate("a <zorgle> on a beach", seed=4, steps=2, size=32)[0]),
                          np.asarray(plain))  # fmt: skip


def test_other_folders_of_diffusers_are_refused(tmp_path):
    system = foreign.load(toys.sdxl(tmp_path / "sdxl"))
    with pytest.raises(TranhError, match="StableDiffusionXLPipeline"):
        next(personalise.personalise(system, "zorgle", pictures(tmp_path / "p"), place=tmp_path / "shelf"))


def test_the_card_says_how_it_was_learned(shelf, system):
    card = json.loads((shelf / "zorgle" / "subject.json").read_text())
    assert card["base"] == {"name": "tiny", "hash": subjects.base_hash(system)} and card["pictures"] == 3


def test_what_stands_beside_a_subject_is_of_both_splits():
    asked = subject_cases.prompts("vora", 20)
    assert all("<vora>" in one.text and "<vora>" not in one.known for one in asked)
    wholes = {split: [place.whole for place in places(10, split) if not place.free] for split in ("test", "unseen")}
    beside = [one.scene for one in asked[1::2]]
    assert beside == [wholes["unseen" if 4 <= k < 8 else "test"][k] for k in range(10)]
