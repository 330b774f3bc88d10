"""Byte-level BPE trained on the captions of a world: few tokens for its words, bytes for everything else.

It expects text that :mod:`tranh.text.normalise` has been over, and knows nothing of languages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers
from torch import Tensor

from tranh.types import TranhError

PAD, EOS, BOS, NULL = 0, 1, 2, 3
SPECIAL = ("<pad>", "<eos>", "<bos>", "<null>")
"""Tokens that stand for no text, by id. ``<null>`` is the empty caption of classifier-free guidance."""

EMPTY = (BOS, NULL, EOS)
"""The empty caption, whole."""

FORMAT = 1


class TooLong(TranhError):
    """A caption has more tokens than the model reads."""


class Tokenizer:
    """Text to token ids and back. ``max_length`` counts ``<bos>`` and ``<eos>``.

    ``room``: every batch is padded to a multiple of so many tokens, as far as ``max_length`` allows; captions of many
    requests then have one shape.
    """

    room = 1

    def __init__(self, vocab: dict[str, int], merges: Sequence[tuple[str, str]], max_length: int = 128) -> None:
        self.vocab, self.merges, self.max_length = dict(vocab), [(a, b) for a, b in merges], max_length
        # The specials are entries of the vocabulary and not "added tokens", so "<pad>" typed by a user is six bytes.
        bpe = tokenizers.Tokenizer(models.BPE(vocab=self.vocab, merges=self.merges))
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        bpe.decoder = decoders.ByteLevel()
        self._bpe = bpe

    @staticmethod
    def train(captions: Iterable[str], size: int = 4096, max_length: int = 128) -> Tokenizer:
        """Learn the merges from normalised captions; the same captions give the same tokenizer."""
        bpe = tokenizers.Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        bpe.train_from_iterator(captions, trainer)
        learned = json.loads(bpe.to_str())["model"]
        return Tokenizer(learned["vocab"], [(a, b) for a, b in learned["merges"]], max_length)

    def save(self) -> bytes:
        """The tokenizer as JSON; equal tokenizers give equal bytes."""
        tokens = sorted(self.vocab, key=self.vocab.__getitem__)
        content = {"format": FORMAT, "max_length": self.max_length, "tokens": tokens, "merges": self.merges}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

    @staticmethod
    def load(data: bytes) -> Tokenizer:
        """The tokenizer that :meth:`save` wrote."""
        try:
            content: dict[str, Any] = json.loads(data)
            first = tuple(content["tokens"][: len(SPECIAL)])
            if content["format"] != FORMAT or first != SPECIAL:
                raise TranhError(
                    f"tokenizer.json has format {content['format']!r} and begins with {' '.join(first)}; "
                    f"this version reads format {FORMAT} that begins with {' '.join(SPECIAL)}; train again to make one"
                )
            vocab = {token: index for index, token in enumerate(content["tokens"])}
            return Tokenizer(vocab, [(a, b) for a, b in content["merges"]], content["max_length"])
        except (ValueError, KeyError, TypeError) as fault:
            raise TranhError(
                f"tokenizer.json cannot be read ({fault}); copy it again from the run it belongs to"
            ) from fault

    def __len__(self) -> int:
        return len(self.vocab)

    def null(self) -> tuple[Tensor, Tensor]:
        """The empty caption of classifier-free guidance: tokens (1, 3) and mask (1, 3)."""
        tokens = torch.tensor([EMPTY], dtype=torch.int64)
        return tokens, torch.ones_like(tokens, dtype=torch.bool)

    def ids(self, caption: str) -> list[int]:
        """Token ids of one caption, without ``<bos>`` and ``<eos>``."""
        return list(self._bpe.encode(caption, add_special_tokens=False).ids)

    def encode(
        self, captions: Sequence[str], multiple: int = 1, notice: Callable[[str], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Captions as ``tokens`` (B, T) int64 and ``mask`` (B, T) bool, padded to the longest.

        Args:
            multiple: T is rounded up to a multiple of this, so that compiled networks see few shapes.
            notice: a caption that is too long is refused; with ``notice`` it is cut and the cut is reported there.
        """
        rows = [[BOS, *row, EOS] for row in self._rows(captions)]
        for index, row in enumerate(rows):
            if len(row) > self.max_length:
                message = self._too_long(captions[index], len(row))
                if notice is None:
                    raise TooLong(message)
                notice(message)
                rows[index] = [*row[: self.max_length - 1], EOS]
        longest, step = max((len(row) for row in rows), default=0), max(multiple, self.room)
        width = max(longest, min(-(-longest // step) * step, self.max_length))
        tokens = torch.full((len(rows), width), PAD, dtype=torch.int64)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = torch.tensor(row, dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return tokens, torch.arange(width)[None] < lengths[:, None]  # (B, T), (B, T)

    def _rows(self, captions: Sequence[str]) -> list[list[int]]:
        """The empty caption is the null token: guidance asks for it by writing nothing."""
        encoded = self._bpe.encode_batch(list(captions), add_special_tokens=False)
        return [list(one.ids) or [NULL] for one in encoded]

    def _too_long(self, caption: str, count: int) -> str:
        # The last word that still fits tells where to shorten.
        kept = self.decode(self.ids(caption)[: self.max_length - 2])
        rest = caption[len(kept) :].strip() or caption[-20:]
        return (
            f"the prompt has {count} tokens and this model reads {self.max_length}; "
            f"shorten it: what does not fit begins at {rest[:40]!r}"
        )

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; special tokens stand for no text."""
        text: str = self._bpe.decode([i for i in ids if i >= len(SPECIAL)], skip_special_tokens=False)
        return text.removeprefix(" ")
