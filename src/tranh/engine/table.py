"""Where a network's parameters are, as a table for people. It measures nothing else."""

from __future__ import annotations

from collections import Counter

from torch import nn

HEADER = ("module", "shapes", "parameters", "share")


def _shapes(module: nn.Module) -> str:
    """Its largest parameter shapes, those that repeat with their number: ``8 x [512, 256], 1 x [256]``."""
    counts = Counter(tuple(p.shape) for p in module.parameters())
    ranked = sorted(counts.items(), key=lambda item: -item[1] * _size(item[0]))
    shown = [f"{n} x {list(shape)}" if n > 1 else f"{list(shape)}" for shape, n in ranked[:2]]
    return ", ".join(shown) + (", ..." if len(ranked) > 2 else "")


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def rows(module: nn.Module, depth: int = 2) -> list[tuple[str, str, int, float]]:
    """(name, shapes, parameters, share of all) of submodules down to ``depth``; lists are opened only once.

    A parameter that two modules share is counted in both rows, and once in the total.
    """
    total = max(1, sum(p.numel() for p in module.parameters()))
    found = []
    for name, part in module.named_modules():
        if not name or name.count(".") >= depth:
            continue
        count = sum(p.numel() for p in part.parameters())
        if count:
            found.append((name, _shapes(part), count, count / total))
    own = sum(p.numel() for p in module.parameters(recurse=False))
    if own:
        found.append(("(itself)", "", own, own / total))
    return found


def table(module: nn.Module, depth: int = 2) -> str:
    """The table as text, one row per submodule, the total below."""
    cells = [HEADER] + [
        ("  " * name.count(".") + name, shapes, f"{count:,}", f"{share:.1%}")
        for name, shapes, count, share in rows(module, depth)
    ]
    total = sum(p.numel() for p in module.parameters())
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    cells.append(("total", "" if trained == total else f"{trained:,} trained", f"{total:,}", "100.0%"))
    wide = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}".rstrip() for a, b, c, d in cells]
    return "\n".join(lines) + "\n"
