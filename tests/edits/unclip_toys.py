"""A model that draws what embeddings mean, in closed form: pictures are one colour, give or take some grain."""

import torch
import torch.nn.functional as F

from tranh.diffusion import ideal
from tranh.diffusion.guide import classifier_free

COLOURS = {"red": (1.0, 0.1, 0.1), "green": (0.1, 1.0, 0.1), "blue": (0.1, 0.1, 1.0)}
GRAIN = 0.1


class Toy:
    """An embedding is the direction of the mean colour; a word is its colour, and moves the picture a little."""

    sizes = (16,)

    def embed_images(self, images):
        return F.normalize(images.mean((2, 3)), dim=-1)

    def embed_texts(self, tokens, mask):
        return F.normalize(torch.stack([torch.tensor(list(COLOURS.values()))[t] for t in tokens[:, 0]]), dim=-1)

    def unclip(self, embeddings, prompts, guidance=None):
        B = len(embeddings)
        words = torch.stack([torch.tensor(COLOURS.get(word, (0.0, 0.0, 0.0))) for word in prompts])
        mean = (0.6 * embeddings + 0.1 * words)[..., None, None]  # (B, 3, 1, 1)

        def told(x, t):
            return mean + ideal.gaussian(0.0, GRAIN)(x - (1 - t.view(-1, 1, 1, 1)) * mean, t)

        def pair(x, t):
            return torch.cat([ideal.gaussian(0.0, GRAIN)(x[:B], t[:B]), told(x[B:], t[B:])])

        return classifier_free(pair, 1.0 if guidance is None else guidance, conditional=told)


def picture(colour, seed, side=16):
    """One picture of a colour, (1, 3, side, side)."""
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return 0.6 * F.normalize(torch.tensor([COLOURS[colour]]), dim=-1)[..., None, None] + GRAIN * noise
