"""The calls that clients of Stable Diffusion web UIs make, as a thin adapter over the desk.

It knows no model. These clients cannot choose freely: what they ask for is brought to the nearest size that the model
makes, words it was never taught are left out, and the reply says what was drawn.
"""

from tranh.serve.sdapi.routes import Calls, router

__all__ = ["Calls", "router"]
