"""The flow: exact inverse, exact determinant, a density that is one, samples that follow it."""

import math
import re
from pathlib import Path

import pytest
import torch

from tranh.engine.frozen import select
from tranh.families.flow import CLEAN, LEVEL, NOISY, Flow
from tranh.families.vae import Vae
from tranh.nn.invertible import gaussian
from tranh.types import Autoencodes, Batch, Draws, Phase, TranhError

SIZES = dict(
    vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, image_size=16, patch_size=4,
    context=3, painter_width=16, hidden_size=64, num_heads=2, depth=2, peaks=3,
    detail_width=16, detail_depth=1, halvings=1, noise=0.1,
)  # fmt: skip


def painter(image_size=16, patch=8):
    """A VAE that paints something else for every caption."""
    torch.manual_seed(1)
    sizes = {k: SIZES[k] for k in ("vocab", "max_len", "text_dim", "text_depth", "text_heads")}
    vae = Vae(**sizes, image_size=image_size, form="transformer", latent=4, width=16, heads=2, patch=patch)
    torch.nn.init.normal_(vae.prior.out.weight, std=0.3)
    return vae.eval()


def tiny(**changes):
    torch.manual_seed(0)
    family = Flow(**(SIZES | changes))
    family.meet({"painter": painter(family.config["image_size"], family.patch << family.halvings)})
    return family


def test_one_picture_alone_is_no_batch():
    """Half of a batch is shown clean, half with noise: of one picture the bits would be 0 / 0."""
    family, data = toy()
    with pytest.raises(TranhError, match="2 pictures at least"):
        family(select(data, [0]), Phase("train", 0, 1, torch.Generator()))


def lively(std=0.08, **changes):
    """One that is not the identity anywhere."""
    family = tiny(**changes)
    for p in family.parameters():
        torch.nn.init.normal_(p, std=std)
    return family.eval()


def batch(size=6):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    images = (torch.rand(size, 3, 16, 16, generator=g) * 255).round() / 127.5 - 1
    b = Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size))
    with torch.no_grad():
        return b.replace(parts={f"painter.{k}": one for k, one in painter().outputs(b).items()})


def told(family, b):
    """What a batch's captions tell."""
    return family.condition(b.tokens, b.mask, (b.parts["painter.expected"], b.parts["painter.patches"]))


LEARNS = dict(steps=100, lr=3e-3)


def toy():
    """For the contract."""
    return tiny(), batch()


@pytest.mark.parametrize(
    ("changes", "dtype", "limit"),
    [({}, torch.float32, 1e-4), ({}, torch.float64, 1e-9), ({"halvings": 2, "patch_size": 2}, torch.float64, 1e-9),
     ({"halvings": 0}, torch.float64, 1e-9)],
)  # fmt: skip
def test_there_and_back_is_the_same_picture(changes, dtype, limit):
    family = lively(**changes).to(dtype)
    images = batch().images.to(dtype)
    assert isinstance(family, Autoencodes) and isinstance(family, Draws)
    with torch.no_grad():
        z = family.encode(images)
        again = family.decode(z)
    assert z.shape == (6, 3 * 16 * 16)
    assert (again - images).abs().max() < limit


def test_latents_come_back_too():
    """Less exactly: gates of random weights let tokens grow from one to the next."""
    family = lively(std=0.04).double()
    z = torch.randn(3, 768, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(family.encode(family.decode(z)), z, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [CLEAN, NOISY])
@pytest.mark.parametrize("changes", [{}, {"halvings": 2, "patch_size": 1}])
def test_the_determinant_is_that_of_the_jacobian(kind, changes):
    family = lively(image_size=8, **({"patch_size": 2} | changes)).double()
    b, kinds = batch(1), torch.tensor([kind])
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    painted = torch.rand(1, 3, 8, 8).double(), torch.randn(1, (8 // family.patch >> family.halvings) ** 2, 16).double()
    context = tuple(one.detach() for one in family.condition(b.tokens, b.mask, painted))

    def flat(x):
        return torch.cat([z.flatten() for z in family.forward_map(x.view(1, 3, 8, 8), context, kinds)])

    _, true = torch.autograd.functional.jacobian(flat, x.flatten()).slogdet()
    assert true.abs() > 0.1
    found = family.log_prob(x, context, kinds) - gaussian(flat(x)[None])
    torch.testing.assert_close(found, true[None])


def plain(family):
    """Every number is N(0, 1) times its scale, whatever came before."""
    for octave in family.tokens.octaves:
        torch.nn.init.zeros_(octave.out.bias)
    for details in family.details:
        details.out.bias.data[-len(details.out.bias) // 3 :] = -20.0  # the least tails are not quite none
    return family


def no_picture(b, patches):
    """Nothing is expected of any caption."""
    nothing = {"painter.expected": torch.zeros_like(b.images), "painter.patches": torch.zeros(len(b), patches, 16)}
    return b.replace(parts=nothing)


def test_an_untrained_flow_of_single_pixels_costs_what_a_normal_distribution_does():
    family, b = plain(tiny(patch_size=1, halvings=0)), no_picture(batch(2), 256)
    g = torch.Generator()
    with torch.no_grad():
        (found,) = family.bits(b, seed=3)
    x = b.images + LEVEL * (torch.rand(b.images.shape, generator=g.manual_seed(3)) - 0.5)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).mean(1) / math.log(2)
    torch.testing.assert_close(found, -normal + math.log2(255 / 2), atol=1e-3, rtol=0)


def test_an_untrained_flow_expects_coarse_numbers_to_be_large():
    family, b = plain(tiny()), no_picture(batch(1), 4)
    with torch.no_grad():
        (found,) = family.bits(b.replace(images=torch.zeros(1, 3, 16, 16)))
    scales = torch.tensor([8.0] * 3 + [2.0] * 9 + [0.5] * 36).repeat(4)  # of the small picture; of the details 1
    expected = 0.5 * math.log2(2 * math.pi) + scales.log2().sum() / 768 + math.log2(255 / 2)
    torch.testing.assert_close(found, found.new_tensor([expected]), atol=1e-2, rtol=0)


def test_the_loss_is_the_bits_of_both_densities():
    family, b = lively(clean=0.5), batch()
    g = torch.Generator()
    figures = family(b, Phase("train", 0, 10, g.manual_seed(0)))
    dropped = torch.rand(6, generator=g.manual_seed(0)) < family.drop
    grain = torch.randn(b.images.shape, generator=g)
    x = b.images + LEVEL * (torch.rand(b.images.shape, generator=g) - 0.5)
    x[3:] += family.noise * grain[3:]
    picture, tokens = told(family, b)
    context = (
        torch.where(dropped.view(-1, 1, 1, 1), 0.0, picture),
        torch.where(dropped.view(-1, 1, 1), family.null, tokens),
    )
    kind = torch.tensor([CLEAN] * 3 + [NOISY] * 3)
    small, details = family.log_probs(x, context, kind)
    assert small.shape == (6, 4) and details.shape == (6, 1)
    torch.testing.assert_close(family.log_prob(x, context, kind), small.sum(1) + details[:, 0])

    def bits(nats, numbers):
        return -nats / numbers / math.log(2) + math.log2(255 / 2)

    torch.testing.assert_close(figures["bits"], bits(small.sum(1) + details[:, 0], 768)[:3].mean())
    weighed = (family.painted(context[0]) * small).sum(1)
    each = torch.stack([bits(weighed, 192), bits(details[:, 0], 576)])
    pull = torch.tensor([LEVEL / math.sqrt(12) / family.noise] * 3 + [1.0] * 3)
    torch.testing.assert_close(figures["loss"], (pull * each.mean(0)).mean())
    of_noise = math.log2(math.sqrt(2 * math.pi * math.e * (0.01 + LEVEL**2 / 12)) * 255 / 2)
    torch.testing.assert_close(figures["excess"], bits(small.sum(1), 192)[3:].mean() - of_noise)


def test_patches_are_weighed_by_what_is_painted_on_the_commonest_colour():
    family, picture = tiny(), torch.full((3, 3, 16, 16), 0.2)
    picture[0, :, :8, 8:] = -0.7  # the second of four patches
    picture[1, 0, 0, 0] = 0.3
    weights = family.painted(picture)
    assert weights.shape == (3, 4)
    torch.testing.assert_close(weights.mean(1), torch.ones(3))
    torch.testing.assert_close(weights[0], torch.tensor([0.2, 3.4, 0.2, 0.2]))
    assert torch.equal(weights[2], torch.ones(4))  # nothing stands out


def test_patches_come_in_the_order_of_what_is_painted():
    family, picture = tiny(), torch.zeros(2, 3, 16, 16)
    picture[0, :, 8:, :8] = 0.4  # the third
    picture[0, :, :4, 12:] = 0.4  # a quarter of the second
    context = picture, family.null.expand(2, -1, -1)
    _, _, order = family.told(context, torch.tensor([NOISY, NOISY]))
    assert order.tolist() == [[2, 1, 0, 3], [0, 1, 2, 3]]


def test_captions_reach_the_picture_and_seeds_too():
    family, b = lively(), batch(2)

    def drawn(tokens, seeds):
        with torch.no_grad():
            *_, last = family.draw(tokens, b.mask, seeds)
        return last.x

    plain = drawn(b.tokens, [1, 2])
    for other in (drawn(b.tokens.roll(1, 0), [1, 2]), drawn(b.tokens, [3, 4])):
        assert (other - plain).abs().mean() > 1e-5


def test_what_a_caption_leads_to_expect_moves_the_density_and_does_not_stretch_it():
    """p(x | caption) of a picture moved by what is painted is that of the picture where nothing is."""
    family, b = lively(), batch(3)
    picture, tokens = (one.detach() for one in told(family, b))
    kind = torch.full((3,), NOISY)
    assert picture.abs().mean() > 1e-3
    moved = family.log_prob(b.images + picture, (picture, tokens), kind)
    torch.testing.assert_close(moved, family.log_prob(b.images, (torch.zeros_like(picture), tokens), kind))


def test_a_wild_flow_still_draws():
    """Gates that double what came before would run away within 64 patches."""
    family, b = lively(std=0.6), batch(3)
    with torch.no_grad():
        *_, last = family.draw(b.tokens, b.mask, [1, 2, 3])
    assert last.x.isfinite().all()


def test_noise_is_taken_off_a_known_density():
    """Tweedie's estimate of N(0, I) is x (1 - sigma^2)."""
    family, b = plain(tiny(noise=0.5, patch_size=1, halvings=0)), batch(2)
    torch.testing.assert_close(family.denoise(b.images, family.unconditional(2)), b.images * 0.75, atol=1e-3, rtol=0)


def test_begins_from_a_readers_words():
    source, family = tiny(), tiny()
    torch.nn.init.normal_(source.text.tokens.weight)
    lent = {k: v for k, v in source.state_dict().items() if k.startswith("text.")} | {
        "questions.queries": torch.zeros(9, 3)
    }
    family.load_state_dict(dict(family.adopt(lent)))
    assert torch.equal(family.text.tokens.weight, source.text.tokens.weight)
    assert family.questions.queries.shape == (3, 32)


def test_what_the_page_says_runs():
    page = (Path(__file__).parents[2] / "docs" / "families" / "flow.md").read_text("utf-8")
    found: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, found)
    assert len(found["between"]) == 3
