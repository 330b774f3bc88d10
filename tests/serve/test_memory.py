"""Requests for more memory than there is: refused by an estimate, and told where the estimate was wrong."""

from __future__ import annotations

import torch

from tranh.serve.runner import _why


def test_what_torch_says_on_a_processor_is_told_as_what_it_is() -> None:
    try:
        torch.empty(1 << 60)
    except RuntimeError as error:
        assert not isinstance(error, MemoryError) and _why(error).code == "out_of_memory"
    assert _why(RuntimeError("secret details")).code is None
