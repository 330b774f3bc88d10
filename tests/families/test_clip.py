"""CLIP: its loss, its contract, and transformers.CLIPModel reading its weights."""

import json
import math
from itertools import product

import pytest
import torch

from tranh.engine.contract import overfit_one_batch, same_after_saving
from tranh.engine.system import load_system
from tranh.engine.weights import tensors_of
from tranh.families.clip import TEXT, VISION, Clip, to_transformers
from tranh.recipes.models import SHIPPED
from tranh.types import Batch, Phase, TranhError, capabilities

PAIRINGS = list(product(VISION, TEXT))


def tiny(vision="vit", text="transformer", **more):
    torch.manual_seed(0)
    return Clip(
        vocab=50, max_len=12, image_size=16, patch=8, dim=16, vision_width=32, vision_depth=2, vision_heads=2,
        text_width=32, text_depth=2, text_heads=2, vision=vision, text=text, **more,
    )  # fmt: skip


def batch(size=6):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    tokens[:, 0], tokens[:, 5], tokens[:, 6:] = 2, 1, 0
    images = torch.rand(size, 3, 16, 16, generator=g) * 2 - 1
    return Batch(images, [""] * size, tokens, tokens != 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


def test_transformers_reads_it(tmp_path):
    from transformers import CLIPModel

    clip, b = tiny(), batch()
    to_transformers(clip, tmp_path)
    model = CLIPModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        out = model(input_ids=b.tokens, pixel_values=b.images, attention_mask=b.mask.long())
        torch.testing.assert_close(clip.embed_images(b.images), out.image_embeds, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(clip.embed_texts(b.tokens, b.mask), out.text_embeds, atol=1e-5, rtol=1e-4)


def test_untrained_loss_is_log_of_the_batch():
    figures = tiny()(batch(6), Phase("train", 0, 1, torch.Generator()))
    assert abs(figures["loss"].item() - math.log(6)) < 1.0


@pytest.mark.parametrize("text", TEXT)
def test_what_follows_the_end_is_not_read(text):
    clip, b = tiny(text=text), batch()
    other = b.tokens.clone()
    other[:, 6:] = 7
    assert torch.equal(clip.embed_texts(b.tokens, b.mask), clip.embed_texts(other, b.mask))


@pytest.mark.parametrize(("vision", "text"), PAIRINGS)
def test_every_pairing_meets_the_contract(vision, text, tmp_path):
    figures = overfit_one_batch(tiny(vision, text), batch(), steps=40)
    assert figures[-1] < Clip.overfit_below * figures[0]
    clip = tiny(vision, text)
    same_after_saving(clip, batch(), tmp_path)
    again = Clip(**json.loads(json.dumps(clip.config)))
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in clip.state_dict().items()}
    assert capabilities(clip) == ("embeds",)


@pytest.mark.parametrize(("vision", "text"), PAIRINGS)
def test_every_parameter_is_in_one_group_and_matrices_of_both_towers_are_muons(vision, text):
    clip = tiny(vision, text)
    muon, rest = clip.param_groups("train")
    ids = [id(p) for group in (muon, rest) for p in group.params]
    assert sorted(ids) == sorted(map(id, clip.parameters()))
    names = {name.split(".")[0] for name, p in clip.named_parameters() if any(p is q for q in muon.params)}
    assert names == {"vision_model", "text_model"} and {p.ndim for p in muon.params} == {2}


@pytest.mark.parametrize(("vision", "text"), PAIRINGS[1:])
def test_only_vit_and_transformer_go_to_transformers(vision, text, tmp_path):
    with pytest.raises(TranhError, match=f"this CLIP is {vision} . {text}, and CLIPModel of transformers is vit"):
        to_transformers(tiny(vision, text), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"vision": "vgg"}, {"text": "lstm"}, {"vision": "resnet", "pool": "middle"}])
def test_a_tower_nobody_knows_is_refused(wrong):
    with pytest.raises(TranhError, match="choose"):
        tiny(**wrong)


def test_a_config_from_before_there_were_other_towers_is_the_same_model():
    """tranh-1 was exported without the keys; its embeddings are those of the towers it was trained with, bit by bit."""
    old = json.loads((SHIPPED / "tranh-1" / "system.json").read_text("utf-8"))["parts"]["clip"]["config"]
    assert not {"vision", "text", "pool"} & old.keys()
    shipped = load_system(SHIPPED / "tranh-1").parts["clip"]
    explicit = Clip(**old, vision="vit", text="transformer").eval()
    explicit.load_state_dict(tensors_of(shipped))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tokens = torch.tensor([[2, 40, 41, 1], [2, 50, 1, 0]])
    with torch.no_grad():
        assert torch.equal(shipped.embed_images(images), explicit.embed_images(images))
        assert torch.equal(shipped.embed_texts(tokens, tokens > 0), explicit.embed_texts(tokens, tokens > 0))


def test_picture_embedding_is_bit_equal_in_any_company():
    clip, b = tiny().eval(), batch()
    with torch.no_grad():
        together = clip.embed_images(b.images)
        assert torch.allclose(together[2:3], clip.embed_images(b.images[2:3]), atol=1e-6)
