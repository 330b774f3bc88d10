from __future__ import annotations

from pathlib import Path

import pytest

from tranh.recipes.marks.keyring import Keys, keys


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of this installation."""
    return keys(Path(tmp_path_factory.mktemp("own")) / "keys")
