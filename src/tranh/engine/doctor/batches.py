"""What can be seen in a batch before any network: pictures, captions, and what the parents said about them.

Pure functions of tensors. They know no family; a family that reads captions has ``vocab`` among its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.engine.doctor.finding import Finding, fault, fine, warning
from tranh.engine.frozen import Frozen
from tranh.types import Batch, Embeds, Family

PICTURES, CAPTIONS = "pictures in range", "captions present"
LABELLED, LENGTH, PAIRS = "embeddings are what they are called", "embeddings of unit length", "parent tells pairs apart"
SLACK = 0.02
"""How far a picture may leave [-1, 1] (resizing rings a little)."""


def reads_captions(family: Family) -> bool:
    return "vocab" in family.config


def pictures(batch: Batch) -> Finding:
    """Images are float32 (B, 3, H, W) in [-1, 1], finite, and not all the same."""
    x = batch.images
    if x.dtype != torch.float32 or x.ndim != 4 or x.shape[1] != 3:
        return fault(
            PICTURES,
            f"images are {x.dtype} {list(x.shape)}, expected torch.float32 [B, 3, H, W]",
            "Convert in the data source: images.float() / 127.5 - 1, channels first.",
        )
    rows = x.flatten(1)
    broken = ~torch.isfinite(rows).all(1)
    if broken.any():
        return fault(
            PICTURES,
            f"{int(broken.sum())} of {len(x)} pictures hold NaN or infinity (ids {batch.ids[broken].tolist()[:8]})",
            "Remove or repair these examples; look for a division by zero in the preparation of the data.",
        )
    low, high, mean, std = float(x.min()), float(x.max()), float(x.mean()), float(x.std())
    seen = f"pixels from {low:.3g} to {high:.3g}, mean {mean:.3g}, standard deviation {std:.3g}"
    if low >= -SLACK and high > 2:
        return fault(PICTURES, f"{seen}; expected [-1, 1], this is [0, 255]", "Use images / 127.5 - 1.")
    if low < -1 - SLACK or high > 1 + SLACK:
        return fault(
            PICTURES,
            f"{seen}; expected [-1, 1]",
            "Clamp after resizing, and do not subtract the mean or divide by the deviation of ImageNet.",
        )
    if std < 0.01:
        return fault(PICTURES, f"{seen}: they show nothing", "Scale once: images / 127.5 - 1 from 8-bit pixels.")
    if len(x) > 1 and float(x.std(0).mean()) < 1e-3:
        return fault(PICTURES, f"{seen}; all {len(x)} are the same picture", "Let the source look up another per step.")
    if low >= 0:
        return fault(
            PICTURES,
            f"{seen}; expected [-1, 1], this is [0, 1]: no pixel is darker than the middle grey",
            "Use 2 * images - 1.",
        )
    flat = int((rows.std(1) < 0.005).sum())
    if flat > 0.1 * len(x):
        return warning(PICTURES, f"{flat} of {len(x)} pictures are of one colour", "Look at them (tranh data preview).")
    if std < 0.08 or abs(mean) > 0.95:
        return warning(PICTURES, f"{seen}: hardly any contrast", "Were they scaled twice? images / 127.5 - 1, once.")
    return fine(PICTURES, seen)


def captions(batch: Batch, family: Family) -> Finding | None:
    """Tokens tell captions apart, fit the network's table, and the mask shows them; None if it reads no captions."""
    if not reads_captions(family):
        return None
    tokens, mask, B = batch.tokens, batch.mask, len(batch)
    if tokens.shape != mask.shape or mask.dtype != torch.bool or tokens.dtype != torch.int64:
        return fault(
            CAPTIONS,
            f"tokens are {tokens.dtype} {list(tokens.shape)}, mask {mask.dtype} {list(mask.shape)}",
            "Give int64 tokens and a bool mask of the same shape (B, T).",
        )
    empty = int((~mask.any(1)).sum())
    if empty:
        return fault(
            CAPTIONS,
            f"the mask of {empty} of {B} captions is empty: the network sees no word of them",
            "mask is True where a token is real; is it inverted or lost? Compare with Tokenizer.encode.",
        )
    vocab, longest = family.config["vocab"], family.config.get("max_len")
    if int(tokens.max()) >= vocab or int(tokens.min()) < 0:
        return fault(
            CAPTIONS,
            f"token ids go from {int(tokens.min())} to {int(tokens.max())}, the network knows 0 to {vocab - 1}",
            "Build the family with the vocabulary of this tokenizer (vocab=len(tokenizer)).",
        )
    if longest is not None and tokens.shape[1] > longest:
        return fault(
            CAPTIONS,
            f"captions have up to {tokens.shape[1]} tokens, the network reads {longest}",
            "Build the family with max_len of the tokenizer, or shorten the captions.",
        )
    nothing = sum(not c.strip() for c in batch.captions)
    if nothing == B:
        return fault(CAPTIONS, f"all {B} captions are empty", "Does the source find the caption files?")
    distinct = len({tuple(row[real].tolist()) for row, real in zip(tokens, mask, strict=True)})
    texts = len(set(batch.captions))
    long = float(mask.sum(1).float().mean())
    seen = f"{texts} different captions of {B}, {distinct} different rows of tokens, {long:.1f} long"
    if distinct == 1 and texts > 1:
        return fault(
            CAPTIONS,
            f"{seen}: all tokens are the same (<pad> or <null>?) although the captions differ",
            "The tokenizer does not see the captions, or the mask hides all that differs.",
        )
    if distinct == 1 and B > 3:
        return warning(CAPTIONS, f"{seen}: nothing to tell pictures apart by", "Use captions that say what is shown.")
    if distinct < 0.5 * texts:
        seen += ": many captions become the same tokens"
        return warning(CAPTIONS, seen, "Train the tokenizer on these captions.")
    if nothing > 0.5 * B:
        return warning(CAPTIONS, f"{nothing} of {B} captions are empty", "Does the source find all caption files?")
    return fine(CAPTIONS, seen)


def _pairs_of(batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """Parents that gave both an image and a text embedding of one size."""
    found = {}
    for name, image in batch.parts.items():
        text = batch.parts.get(f"{name.removesuffix('.image')}.text")
        if name.endswith(".image") and text is not None and image.ndim == 2 and image.shape == text.shape:
            found[name.removesuffix(".image")] = (image.float(), text.float())
    return found


def embeddings(batch: Batch, parents: Mapping[str, Frozen] | None = None) -> list[Finding]:
    """Parts called ``P.image`` and ``P.text``: neither swapped nor scaled, and of the right pairs.

    Args:
        parents: those who embed are asked again, without cache or detour.
    """
    found: list[Finding] = []
    for name, parent in (parents or {}).items():
        if isinstance(parent.family, Embeds) and f"{name}.image" in batch.parts:
            found.append(_as_parent_says(batch, name, parent))
    for name, (image, text) in _pairs_of(batch).items():
        if not any(f.name == LABELLED for f in found) and len(image) > 1:
            same = float(F.cosine_similarity(image, text).mean())
            found.append(_swapped(name, same) if same > 0.995 else fine(LABELLED, f"{name}: cosine {same:.2f}"))
        if not any(f.fault for f in found):
            found.append(_lengths(name, image, text))
        if not any(f.fault for f in found) and len(image) > 7:
            found.append(_told_apart(name, image, text))
    return found


def _swapped(name: str, cosine: float) -> Finding:
    return fault(
        LABELLED,
        f"{name}.image is the text embedding of the caption (mean cosine {cosine:.3f}): a text embedding is handed "
        "where an image embedding is expected",
        "Give embed_images(images) in training, the prior's output when sampling; texts lie elsewhere than pictures.",
    )


@torch.no_grad()
def _as_parent_says(batch: Batch, name: str, parent: Frozen) -> Finding:
    family = parent.family
    assert isinstance(family, Embeds)
    given = batch.parts[f"{name}.image"].float()
    image = family.embed_images(batch.images).float()
    text = family.embed_texts(batch.tokens, batch.mask).float()
    to_image, to_text = (float(F.cosine_similarity(given, z).mean()) for z in (image, text))
    if to_image < 0.98 and to_text > to_image:
        return _swapped(name, to_text)
    shown = batch.parts.get(f"{name}.text", text).float()
    answers = {"image": to_image, "text": float(F.cosine_similarity(shown, text).mean())}
    for kind, cosine in answers.items():
        if cosine < 0.98:
            return fault(
                LABELLED,
                f"{name}.{kind} has a cosine of {cosine:.2f} to what {name} says of these examples, expected > 0.98",
                "Clear the cache of embeddings: it holds other pictures or captions under these ids, or another run's.",
            )
    return fine(LABELLED, f"{name}: cosine {min(answers.values()):.3f} to the parent's own answer")


def _lengths(name: str, image: Tensor, text: Tensor) -> Finding:
    lengths = {"image": image.norm(dim=-1), "text": text.norm(dim=-1)}
    seen = ", ".join(f"{name}.{k} {float(v.min()):.3g} to {float(v.max()):.3g}" for k, v in lengths.items())
    if all(bool(((v - 1).abs() < 0.02).all()) for v in lengths.values()):
        return fine(LENGTH, seen)
    return fault(LENGTH, f"lengths {seen}; expected 1", "Normalise in the parent's outputs: F.normalize(z, dim=-1).")


def _told_apart(name: str, image: Tensor, text: Tensor) -> Finding:
    """True pairs must be closer than pairs with a stranger's caption, by more than chance allows."""
    own = (image * text).sum(-1)
    cosines = image @ text.T
    other = (cosines.sum(1) - own) / (len(image) - 1)
    gap = own - other
    mean, error = float(gap.mean()), float(gap.std()) / len(gap) ** 0.5
    seen = f"cosine of {name}.image to its own caption {float(own.mean()):.3f}, to others' {float(other.mean()):.3f}"
    if mean > 3 * error:
        return fine(PAIRS, seen)
    return fault(
        PAIRS,
        f"{seen}: no more than chance",
        f"Are captions shuffled against pictures, or numbered by another tokenizer than {name} was trained with? "
        f"Otherwise {name} has not learned: `tranh doctor` its run.",
    )
