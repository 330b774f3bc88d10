"""What trains, keeps, freezes and exports any family. It names no family and reads no pictures.

Import from the modules themselves; this file stays empty so that ``tranh --help`` does not wait for torch.
"""
