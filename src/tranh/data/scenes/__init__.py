"""Scenes: the built-in captioned world, small enough to learn, exact enough to check."""
