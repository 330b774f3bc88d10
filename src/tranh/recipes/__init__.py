"""Where siblings meet: recipes name families, sources, measures and systems, and put them together."""
