"""The noise doctor: names what keeps a run from learning, before hours are spent on it, and says what to do.

Checks are small pure functions, one file per thing they look at; they know families only by the protocol. What needs
a family by name, or several runs at once, is in ``tranh.recipes.doctor``.
"""

from tranh.engine.doctor.course import during, watch
from tranh.engine.doctor.finding import Diagnosis, Finding, refuse
from tranh.engine.doctor.first import before

__all__ = ["Diagnosis", "Finding", "before", "during", "refuse", "watch"]
