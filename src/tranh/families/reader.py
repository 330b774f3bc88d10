"""The reader: learns what captions ask for, from the labels of the scenes they describe. No picture is looked at.

A caption costs a hundredth of a picture, so the caption encoder of a decoder that begins from a reader (``init``) knows
its words, in every language and order, before it is asked to draw them. Things are asked for by their first field (the
kind): one learned query for each value looks over the tokens, so no order of things has to be learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.asked import Questions, cross_entropy
from tranh.nn.clip import TextTower
from tranh.nn.groups import split_matrices
from tranh.nn.sequence import TextEncoder
from tranh.types import Batch, Family, ParamGroup, Phase

PLACES = 3
"""Places are told apart in a grid of 3 x 3."""


class Reader(Family):
    """A caption encoder and, only for training, queries that ask it for the facts.

    Args:
        vocab, max_len, eos: of the tokenizer.
        thing_sizes: number of values of each field of a thing; picture_sizes: of each field of the whole picture.
        most: most things in a picture.
        text_dim, text_depth, text_heads: of the encoder, as the decoder will have them.
        causal: as in a stack that goes on after the caption (DALL-E).
        tower: the encoder is the text tower of a CLIP, which begins from it.
    """

    overfit_below: ClassVar[float] = 0.2

    def __init__(
        self,
        *,
        vocab: int,
        thing_sizes: Sequence[int],
        picture_sizes: Sequence[int],
        max_len: int = 128,
        most: int = 4,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        causal: bool = False,
        tower: bool = False,
        eos: int = 1,
    ) -> None:
        super().__init__()
        self.config = {
            "vocab": vocab, "thing_sizes": list(thing_sizes), "picture_sizes": list(picture_sizes), "max_len": max_len,
            "most": most, "text_dim": text_dim, "text_depth": text_depth, "text_heads": text_heads, "causal": causal,
            "tower": tower, "eos": eos,
        }  # fmt: skip
        self.kinds, self.most = thing_sizes[0], most
        self.text: TextTower | TextEncoder
        if tower:
            self.text = TextTower(vocab, text_dim, text_depth, text_heads, max_len, eos)
        else:
            self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len, causal=causal)
        self.questions = Questions(self.kinds + 1, text_dim, text_heads)  # one for each kind, one for the whole
        self.of_things = [1, *thing_sizes[1:], PLACES, PLACES]
        self.of_picture = [*picture_sizes, most + 1]
        self.thing = nn.Linear(text_dim, sum(self.of_things))
        self.picture = nn.Linear(text_dim, sum(self.of_picture))

    def ask(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Raw answers to all queries.

        Args:
            tokens, mask: captions, (B, T).

        Returns:
            for each kind (B, K, 1 + fields + 6): whether there is one, its other fields, column and row;
            for the whole picture (B, fields + most + 1): its fields and the number of things.
        """
        words = self.text.states(tokens) if isinstance(self.text, TextTower) else self.text(tokens, mask)
        thought = self.questions(words, mask)
        return self.thing(thought[:, :-1]).float(), self.picture(thought[:, -1]).float()

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        of_kinds, whole = self.ask(batch.tokens, batch.mask)
        things, centres = batch.labels["things"], batch.labels["centres"]  # (B, 4, fields), (B, 4, 2)
        kind = things[..., 0]
        number = F.one_hot(kind.clamp(min=0), self.kinds) * (kind >= 0)[..., None]  # (B, 4, K)
        number = number.sum(1)  # (B, K): how many of each
        exists = F.binary_cross_entropy_with_logits(of_kinds[..., 0], (number > 0).float(), reduction="none")
        alone = (kind >= 0) & (number.gather(1, kind.clamp(min=0)) == 1)  # the only one of its kind
        b, i = alone.nonzero(as_tuple=True)
        places = (centres[b, i] * PLACES).long().clamp(0, PLACES - 1)  # (P, 2)
        targets = torch.cat([things[b, i, 1:], places], dim=1)
        answers = of_kinds[b, kind[b, i], 1:].split(self.of_things[1:], dim=-1)
        count = (kind >= 0).sum(1, keepdim=True)
        asked = torch.cat([batch.labels["picture"], count], dim=1)
        losses = [cross_entropy(one, targets[:, f]) for f, one in enumerate(answers)]
        losses += [cross_entropy(one, asked[:, f]) for f, one in enumerate(whole.split(self.of_picture, dim=-1))]
        loss = exists.sum(1).mean() + torch.stack(losses).sum()
        right = ((of_kinds[..., 0] > 0) == (number > 0)).all(1).float().mean()
        return {"loss": loss, "kinds_right": right.detach()}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self, also=[p for n, p in self.named_parameters() if p.ndim == 2 and ".layers." in n])
