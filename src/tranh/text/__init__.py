"""From what people type to what networks read: normalising, languages, tokens, and telling what was not understood."""
