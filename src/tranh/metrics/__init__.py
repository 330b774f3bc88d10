"""Measures: one file is one measure, a pure function over arrays. None knows where its pictures come from."""
