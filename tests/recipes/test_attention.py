"""Maps of where words were read: which tokens are a word, and a sheet from a system with a memory."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tranh import cli
from tranh.families.clip import Clip
from tranh.families.dmgan import DmGan
from tranh.recipes import models
from tranh.recipes.attention import maps, words_of
from tranh.recipes.system import assemble
from tranh.text.tokenizer import Tokenizer
from tranh.types import TranhError

PROMPT = "a large red circle"


@pytest.fixture(scope="module")
def remembering(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    told = {"vocab": len(tokenizer), "max_len": tokenizer.max_length}
    torch.manual_seed(0)
    family = DmGan(
        **told, text_dim=32, text_depth=1, text_heads=2, image_size=32, noise=8, dim=32, depth=1, heads=2,
        widths=[32, 16], memory=16, critic_width=16, critic_dim=32, critic_heads=2,
    )  # fmt: skip
    clip = Clip(**told, image_size=32, dim=16, vision_width=32, vision_depth=1, vision_heads=2, text_width=32,
                text_depth=1, text_heads=2)  # fmt: skip
    return assemble({"clip": clip.eval(), "dmgan": family.eval()}, assets, {"name": "tiny"})


@pytest.mark.parametrize("text", [PROMPT, "một hình tròn đỏ lớn, ở trên", "mot ngoi sao qwxz", "a red circle's shade"])
def test_the_words_of_a_prompt_are_its_tokens(assets, text):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    (row,), _ = tokenizer.encode([text])
    found = words_of(tokenizer, text)
    assert [word for word, _ in found] == text.split()
    assert [k for _, where in found for k in where] == list(range(1, len(row) - 1))
    for word, where in found:
        assert tokenizer.decode(row[where].tolist()) == word


def test_each_word_has_a_map(remembering):
    page = np.asarray(maps(remembering, PROMPT))
    wide = np.asarray(maps(remembering, PROMPT, layer=0))
    assert page.shape[1] == 8 + 5 * (128 + 8) and wide.shape == page.shape  # the picture and four words
    assert not np.array_equal(page, np.asarray(maps(remembering, PROMPT, seed=1)))
    first, second = page[8:136, 8:136].mean(), page[8:136, 144:272].mean()
    assert second < first  # a map darkens the picture where the word was not read


def test_what_cannot_be_shown_is_said(remembering, system):
    with pytest.raises(TranhError, match="no memory"):
        maps(system, PROMPT)
    with pytest.raises(TranhError, match="0 to 0"):
        maps(remembering, PROMPT, layer=3)


def test_the_command_writes_it(remembering, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load", lambda name: remembering)
    out = tmp_path / "maps.png"
    done = CliRunner().invoke(cli.app, ["attention", "any", PROMPT, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert out.is_file() and str(out) in done.output
