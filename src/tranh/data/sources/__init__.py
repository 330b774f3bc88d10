"""One file, one way captioned pictures lie on a disk; each has ``found(look)`` and ``read(look)``."""
