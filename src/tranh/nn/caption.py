"""The head of a prior's sequence: caption tokens, then the caption's CLIP embedding, or learned nulls in their place.

It knows nothing of what follows it in the sequence or of why a caption is dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tranh.nn.sequence import embed_tokens


class CaptionPrefix(nn.Module):
    """Captions as the first T + 1 tokens of a sequence.

    Args:
        vocab: token numbers are below it.
        dim: width of the sequence.
        max_len: most tokens of a caption.
        clip_dim: width of the caption's CLIP embedding.
    """

    def __init__(self, vocab: int, dim: int, max_len: int, clip_dim: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(max_len, dim))
        self.text = nn.Linear(clip_dim, dim)
        self.null_tokens = nn.Parameter(0.02 * torch.randn(max_len, dim))
        self.null_text = nn.Parameter(0.02 * torch.randn(dim))
        self.scale = clip_dim**0.5  # rows of unit length become features of unit variance
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor, mask: Tensor, text_embedding: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Embed captions, all or nothing per row.

        Args:
            tokens, mask: (B, T), int64 and bool.
            text_embedding: (B, clip_dim), unit length.
            keep: bool (B,); rows that are False get the nulls, which do not show even the caption's length.

        Returns:
            tokens of the sequence (B, T + 1, dim), and which of them are real, bool (B, T + 1).
        """
        T, keep = tokens.shape[1], keep[:, None]
        x = embed_tokens(self.tokens, self.positions, tokens)  # (B, T, D)
        x = torch.where(keep[..., None], x, self.null_tokens[:T])
        text = torch.where(keep, self.text(self.scale * text_embedding), self.null_text)  # (B, D)
        seen = torch.cat([mask | ~keep, torch.ones_like(keep)], dim=1)  # (B, T + 1)
        return torch.cat([x, text[:, None].to(x.dtype)], dim=1), seen
