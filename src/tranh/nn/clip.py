"""The two towers of CLIP, ViT and Transformer, with the parameter names of ``transformers.CLIPModel``.

They know nothing of losses or of training. Written out here, and not imported, so that a picture does not wait three
seconds for the import; a test loads the weights into ``CLIPModel`` and compares.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.packed import Packing
from tranh.nn.transformer import patchify


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None, packing: Packing | None) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            y = y if packing is None else packing.unpack(y)
            return y.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)  # (B, H, N, D)

        scores = (heads(self.q_proj(x)) * self.head_dim**-0.5) @ heads(self.k_proj(x)).transpose(-1, -2)
        if bias is not None:
            scores = scores + bias.to(scores.dtype)
        v = heads(self.v_proj(x))
        out = (torch.softmax(scores, dim=-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)  # (B, N, H D)
        return self.out_proj(out if packing is None else packing.pack(out))


class _MLP(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(dim, heads), _MLP(dim, 4 * dim)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, bias: Tensor | None, packing: Packing | None) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), bias, packing)
        return x + self.mlp(self.layer_norm2(x))


class _Encoder(nn.Module):
    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(dim, heads) for _ in range(depth))

    def forward(self, x: Tensor, bias: Tensor | None = None, packing: Packing | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, bias, packing)
        return x


class _TextEmbeddings(nn.Module):
    def __init__(self, vocab: int, dim: int, length: int) -> None:
        super().__init__()
        self.token_embedding, self.position_embedding = nn.Embedding(vocab, dim), nn.Embedding(length, dim)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]


class TextTower(nn.Module):
    """Causal Transformer over the caption; the state at the first end-of-text token stands for all of it."""

    def __init__(self, vocab: int, dim: int, depth: int, heads: int, length: int, eos: int) -> None:
        super().__init__()
        self.eos = eos
        self.embeddings = _TextEmbeddings(vocab, dim, length)
        self.encoder = _Encoder(dim, depth, heads)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens: (B, T) int64, each row holding ``eos``; mask: bool (B, T), True up to there at least. -> (B, dim)."""
        packing = Packing(mask)
        # Padding comes last, so no one sees it.
        x = packing.unpack(self.encoder(packing.pack(self.embeddings(tokens)), _future(tokens), packing))
        end = (tokens == self.eos).int().argmax(-1)
        return self.final_layer_norm(x[torch.arange(len(x), device=x.device), end])

    def states(self, tokens: Tensor) -> Tensor:
        """The last states of all tokens, padding too: ``CLIPTextModel``'s ``last_hidden_state``. (B, T, dim)."""
        return self.final_layer_norm(self.encoder(self.embeddings(tokens), _future(tokens)))


def _future(tokens: Tensor) -> Tensor:
    """Bias that hides what comes after each token, (T, T)."""
    T = tokens.shape[1]
    return torch.full((T, T), -1e4, device=tokens.device).triu(1)


class _VisionEmbeddings(nn.Module):
    def __init__(self, image_size: int, patch: int, dim: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(0.02 * torch.randn(dim))
        self.patch_embedding = nn.Conv2d(3, dim, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding((image_size // patch) ** 2 + 1, dim)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        # A convolution whose stride is its size is a linear map of patches; so written, a row stands alone.
        kernel = self.patch_embedding.weight
        patches = F.linear(patchify(images, kernel.shape[-1]), kernel.flatten(1))  # (B, N, dim)
        first = self.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class VisionTower(nn.Module):
    """ViT; the class token stands for the picture."""

    def __init__(self, image_size: int, patch: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embeddings = _VisionEmbeddings(image_size, patch, dim)
        self.pre_layrnorm = nn.LayerNorm(dim)  # spelt as in CLIPModel
        self.encoder = _Encoder(dim, depth, heads)
        self.post_layernorm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, S, S) in [-1, 1]. -> (B, dim)."""
        x = self.encoder(self.pre_layrnorm(self.embeddings(images)))
        return self.post_layernorm(x[:, 0])
