"""One file, one way captioned pictures lie on a disk. Each has ``found(path)`` and ``read(path)``; ``detect`` asks them."""
