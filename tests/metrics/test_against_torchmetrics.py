"""FID, KID, IS, PSNR, SSIM and CLIP score are torchmetrics' numbers, given the same network and the same pictures."""

import pytest
import torch
from metric_toys import normal
from torch import nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from tranh.metrics import clip_score, frechet, inception_score, kernel, psnr, ssim
from tranh.metrics.network import INCEPTION, Network
from tranh.nn.pixels import to_images


class Seen(nn.Module):
    """A random network over bytes, as torchmetrics wants one."""

    num_features = 24

    def __init__(self, scale=1.0):
        super().__init__()
        g = torch.Generator().manual_seed(3)
        self.first, self.scale = torch.randn(3 * 8 * 8, 24, generator=g) / 8, scale

    def forward(self, x):
        return self.scale * torch.tanh((x.float() / 127.5 - 1).flatten(1) @ self.first)


def pictures(n, seed, low=0, high=256):
    return torch.randint(low, high, (n, 3, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def seen(module):
    def features(images):
        return module((images + 1) * 127.5)

    return Network(INCEPTION, "0" * 16, "none", features, lambda images: features(images).softmax(1))


@pytest.fixture(scope="module")
def sets():
    return pictures(150, 0), pictures(130, 1, 20, 200)


def images(x):
    return to_images(x.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("few", [False, True], ids=["enough", "fewer than features"])
def test_fid(sets, few):
    real, made = (x[:20] for x in sets) if few else sets
    theirs = FrechetInceptionDistance(feature=Seen())
    theirs.update(real, real=True)
    theirs.update(made, real=False)
    network = seen(Seen())
    ours = frechet.measure(network.features(images(real)), network.features(images(made)), network, allow_few=few)
    assert ours.name == "FID"
    assert ours.value == pytest.approx(float(theirs.compute()), abs=1e-3)
    assert ours.value > 0.5


def test_kid(sets):
    real, made = sets
    network = seen(Seen())
    a, b = network.features(images(real)), network.features(images(made))
    theirs = KernelInceptionDistance(feature=Seen(), subsets=1, subset_size=130)
    theirs.update(real[:130], real=True)
    theirs.update(made, real=False)
    ours = kernel.measure(a[:130], b, network)
    assert ours.name == "KID" and ours.value > 0.01
    assert ours.value == pytest.approx(float(theirs.compute()[0]), abs=1e-5)
    assert ours.value == pytest.approx(kernel.kernel_distance(a[:130], b), abs=1e-12)


def test_kid_of_subsets(sets):
    real, made = sets
    theirs = KernelInceptionDistance(feature=Seen(), subsets=7, subset_size=50)
    theirs.update(real, real=True)
    theirs.update(made, real=False)
    torch.manual_seed(5)
    mean, std = theirs.compute()
    network = seen(Seen())
    ours = kernel.over_subsets(
        network.features(images(real)), network.features(images(made)), subsets=7, size=50, seed=5
    )
    assert float(ours.mean()) == pytest.approx(float(mean), abs=1e-5)
    assert float(ours.std(unbiased=False)) == pytest.approx(float(std), abs=1e-5)


@pytest.mark.parametrize("splits", [1, 3])
def test_inception_score(sets, splits):
    theirs = InceptionScore(feature=Seen(4.0), splits=splits)
    theirs.update(sets[0])
    torch.manual_seed(2)
    expected = float(theirs.compute()[0])
    network = seen(Seen(4.0))
    ours = inception_score.measure(
        network.probabilities(images(sets[0])), network, splits=splits, seed=2, allow_few=splits > 1
    )
    assert ours.name == "IS" and ours.value > 1.5
    assert ours.value == pytest.approx(expected, abs=1e-3)


def test_psnr_and_ssim():
    g = torch.Generator().manual_seed(0)
    a = torch.rand(18, 3, 24, 30, generator=g) * 2 - 1
    b = (a + 0.3 * torch.randn(a.shape, generator=g)).clamp(-1, 1)
    each = peak_signal_noise_ratio(a, b, data_range=2.0, dim=(1, 2, 3), reduction="none")
    assert psnr.psnr(a, b) == pytest.approx(each.double(), abs=1e-4)
    assert psnr.measure(a, b).value == pytest.approx(float(PeakSignalNoiseRatio(data_range=2.0)(a, b)), abs=1e-4)
    each = structural_similarity_index_measure((a + 1) / 2, (b + 1) / 2, data_range=1.0, reduction="none")
    assert ssim.ssim(a, b) == pytest.approx(each.double(), abs=1e-4)
    mean = float(StructuralSimilarityIndexMeasure(data_range=1.0)((a + 1) / 2, (b + 1) / 2))
    assert ssim.measure(a, b).value == pytest.approx(mean, abs=1e-4)


def test_clip_score(tmp_path):
    """A tiny CLIP with random weights, asked by torchmetrics and by hand."""
    from torchmetrics.functional.multimodal.clip_score import _clip_score_update
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = CLIPModel(
        CLIPConfig(
            text_config=size | {"vocab_size": 50, "max_position_embeddings": 12, "bos_token_id": 0, "eos_token_id": 49},
            vision_config=size | {"image_size": 16, "patch_size": 8},
            projection_dim=16,
        )
    ).eval()
    pixels = torch.randn(20, 3, 16, 16)
    ids = torch.randint(1, 48, (20, 12))
    ids[:, -1] = 49
    asked = []

    class Tensors(nn.Module):
        """Answers in tensors, as torchmetrics expects."""

        config = model.config

        def get_image_features(self, pixel_values):
            return model.get_image_features(pixel_values=pixel_values).pooler_output

        def get_text_features(self, input_ids, attention_mask):
            return model.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output

    class Processor:
        """Hands torchmetrics the same inputs."""

        def __call__(self, text=None, images=None, return_tensors=None, padding=None, **more):
            asked.append(text or images)
            found = {}
            if images is not None:
                found["pixel_values"] = pixels
            if text is not None:
                found |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return found

    score, count = _clip_score_update(list(pixels), ["words"] * 20, Tensors(), Processor())
    assert asked and count == 20
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels)
    image, text, score = out.image_embeds, out.text_embeds, score.detach()
    assert clip_score.clip_score(image, text) == pytest.approx(score.double(), abs=1e-3)
    named = Network("clip", "0" * 16, "none", lambda x: x)
    found = clip_score.measure(image, text, named)
    assert found.value == pytest.approx(max(0.0, float(score.mean())), abs=1e-3)
    assert found.name == "CLIP score-clip"


def test_frechet_of_normal_features():
    from torchmetrics.image.fid import _compute_fid

    a, b = normal(200, 16), normal(250, 16, 1, 1.3, 0.2)
    theirs = _compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert frechet.frechet(a, b) == pytest.approx(float(theirs), rel=1e-6)
