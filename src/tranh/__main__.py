"""``python -m tranh`` is the command ``tranh``."""

from tranh.cli import main

main()
