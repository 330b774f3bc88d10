"""Edits: what is done to pictures by what a model can do; an edit asks for a capability and knows no family."""
