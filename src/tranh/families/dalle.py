"""DALL-E (Ramesh et al. 2021): a caption, then the codes of a picture, predicted one after another by a transformer.

It knows nothing of pixels: codes come from a frozen ``dvae`` and go back to it to be drawn. Objective: cross-entropy of
every code given the caption and the codes before it, row by row, and of the caption's own tokens with a small weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.captioned import EncoderDecoder, OneStack
from tranh.nn.drawing import draw, guided
from tranh.nn.groups import split_matrices
from tranh.text.drop import beside_empty, drop_captions
from tranh.types import Batch, Family, ParamGroup, Phase, Step, TranhError


class Dalle(Family):
    """Token and code embeddings with learned positions (rows and columns of the grid), one transformer, one head.

    Args:
        vocab, max_len: of the tokenizer.
        image_size, grid, codes: of the dvae it stands on.
        dim, depth, heads: of the transformer that predicts the codes.
        reading: ``one`` decoder-only stack over caption and codes, or ``encoder``: a caption encoder of ``text_depth``
            blocks and a code decoder that looks at it.
        text_weight: of the cross-entropy of the caption's tokens, for ``one`` (an eighth in the paper).
        drop: share of captions dropped in training, for classifier-free guidance.
        guidance, temperature, top_k, top_p: of drawing, where none is asked for; ``top_k`` 0 and ``top_p`` 1 leave all
            codes, temperature 0 takes the likeliest.
    """

    overfit: ClassVar[str] = "codes"
    parents: tuple[str, ...] = ("dvae",)
    shared: tuple[str, ...] = ("stack.follow",)

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        image_size: int = 64,
        grid: int = 8,
        codes: int = 512,
        dim: int = 256,
        depth: int = 7,
        heads: int = 4,
        reading: Literal["one", "encoder"] = "one",
        text_depth: int = 3,
        text_weight: float = 0.125,
        drop: float = 0.1,
        guidance: float = 2.0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.95,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if reading not in ("one", "encoder"):
            raise ValueError(f"reading is {reading!r}; allowed: one (a stack over caption and codes), encoder")
        self.grid, self.codes, self.drop, self.text_weight = grid, codes, drop, text_weight
        self.guidance, self.how = guidance, {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        self.stack: OneStack | EncoderDecoder = (
            OneStack(vocab, max_len, dim, depth, heads)
            if reading == "one"
            else EncoderDecoder(vocab, max_len, dim, depth, heads, text_depth)
        )
        self.code_in = nn.Embedding(codes, dim)
        self.start = nn.Parameter(0.02 * torch.randn(dim))  # what stands before the first code
        self.rows = nn.Parameter(0.02 * torch.randn(grid, dim))
        self.columns = nn.Parameter(0.02 * torch.randn(grid, dim))
        self.head = nn.Linear(dim, codes)
        self.words = nn.Linear(dim, vocab) if reading == "one" and text_weight > 0 else None
        nn.init.normal_(self.code_in.weight, std=0.02)
        for head in (self.head, self.words):
            if head is not None:
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    def meet(self, parents: Mapping[str, Family]) -> None:
        super().meet(parents)
        for key in ("image_size", "grid", "codes"):
            own, theirs = self.config[key], parents["dvae"].config[key]
            if own != theirs:
                raise TranhError(
                    f"dalle was built with {key}={own}, its dvae has {theirs}: dalle.model.{key}={theirs} fits"
                )

    def inputs(self, codes: Tensor, first: int = 0) -> Tensor:
        """The tokens that predict codes ``first``, ``first + 1``, ...: each is the code before it, at its own place.

        Args:
            codes: those before each, (B, n); where ``first`` is 0 a start stands before them, and n + 1 tokens result.
        """
        x = self.code_in(codes)
        if first == 0:
            x = torch.cat([self.start.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        at = torch.arange(first, first + x.shape[1], device=codes.device)
        return x + (self.rows[at // self.grid] + self.columns[at % self.grid])

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        codes, g = batch.parts["dvae.codes"], phase.generator
        dropped = torch.rand(len(batch), generator=g, device=g.device).to(codes.device) < self.drop
        tokens, mask = drop_captions(batch.tokens, batch.mask, dropped)
        h, told = self.stack(tokens, mask, self.inputs(codes[:, :-1]))
        logits = self.head(h).float()  # (B, N, K)
        loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten())
        figures = {"loss": loss, "codes": loss.detach()}
        figures["right"] = (logits.detach().argmax(-1) == codes).float().mean()
        if self.words is not None and told is not None:
            real = mask[:, 1:]
            said = F.cross_entropy(self.words(told[:, :-1][real]).float(), tokens[:, 1:][real])
            figures |= {"loss": (1 - self.text_weight) * loss + self.text_weight * said, "words": said.detach()}
        return figures

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another dalle, or of a reader: its caption encoder, which for ``one`` becomes the first blocks."""
        inside = "stack." if isinstance(self.stack, OneStack) else "stack.text."
        found = {(inside + k.removeprefix("text.") if k.startswith("text.") else k): v for k, v in tensors.items()}
        return self.fitting(found)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    @torch.no_grad()
    def sample(
        self,
        tokens: Tensor,
        mask: Tensor,
        chance: Tensor,
        *,
        given: Tensor | None = None,
        guidance: float = 1.0,
        away: tuple[Tensor, Tensor] | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        cached: bool = True,
    ) -> Iterator[Tensor]:
        """Codes one after another: yields those so far, (B, n), n from 1 (or one more than are given) to N.

        Args:
            tokens, mask: captions, (B, T).
            chance: (B, N), uniform in [0, 1): the code of each place is chosen by its own.
            given: the first codes, (B, n) or (1, n) for all, fewer than N.
            guidance: scale of classifier-free guidance on the scores; 1 is none.
            away: tokens and mask (1, T') to move away from; None for the empty caption.
            cached: keep keys and values; the codes are the same without, slower.
        """
        B, N = chance.shape
        rows = 1
        if guidance != 1:
            rows, (tokens, mask) = 2, beside_empty(tokens, mask, away)
        state = self.stack.begin(tokens, mask, N) if cached else None
        codes = torch.zeros(1, 0, dtype=torch.int64, device=tokens.device) if given is None else given
        codes = codes.expand(B, -1)
        new = self.inputs(codes.repeat(rows, 1))
        while codes.shape[1] < N:
            k = codes.shape[1]
            if state is not None:
                h = self.stack.extend(new, state)
            else:
                h, _ = self.stack(tokens, mask, self.inputs(codes.repeat(rows, 1)))
            scores = self.head(h[:, -1]).float()  # (rows B, K)
            if rows == 2:
                without, told = scores.chunk(2)
                scores = guided(without, told, guidance)
            drawn = draw(scores, chance[:, k], temperature, top_k, top_p)
            codes = torch.cat([codes, drawn[:, None]], dim=1)
            yield codes
            if k + 1 < N:
                new = self.inputs(codes[:, -1:].repeat(rows, 1), first=k + 1)

    @torch.no_grad()
    def draw(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        given: Tensor | None = None,
    ) -> Iterator[Step]:
        """Pictures of B captions, one step per row of the grid; places that have no code yet are drawn from nothing.

        Args:
            steps: has no use: a picture has as many codes as it has.
            guidance, temperature, top_k, top_p: None for the family's own.
            given: codes of the first rows, (B, n) or (1, n) for all, n a multiple of ``grid``.
        """
        dvae, N = cast(Any, self.met["dvae"]), self.grid**2
        asked = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        how: dict[str, Any] = self.how | {k: v for k, v in asked.items() if v is not None}
        chance = torch.stack([torch.rand(N, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        first = 0 if given is None else given.shape[1] // self.grid
        scale = self.guidance if guidance is None else guidance
        drawn = self.sample(tokens, mask, chance.to(tokens.device), given=given, guidance=scale, away=away, **how)
        for codes in drawn:
            row, rest = divmod(codes.shape[1], self.grid)
            if rest:
                continue
            grid = F.pad(codes, (0, N - codes.shape[1])).view(-1, self.grid, self.grid)
            latents = dvae.latents_of(grid)
            latents[:, :, row:] = 0
            x = dvae.decode(latents).float().clamp(-1, 1)
            yield Step(row - first, self.grid - first, 1 - row / self.grid, x, x)
