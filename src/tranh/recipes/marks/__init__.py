"""Marks of origin: what tells, in the file and in the pixels, that a model made a picture, and who tells it again.

``marked`` puts them on, ``provenance`` finds them. It knows no system and no server.
"""

from tranh.recipes.marks.found import Found, provenance, settings_of
from tranh.recipes.marks.keyring import Keys, keys
from tranh.recipes.marks.put import marked

__all__ = ["Found", "Keys", "keys", "marked", "provenance", "settings_of"]
