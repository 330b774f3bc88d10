"""What is wrong with captioned pictures before anything is trained on them: found in one pass, named, with a remedy."""

from tranh.data.doctor.finding import Example, Finding
from tranh.data.doctor.kinds import KINDS
from tranh.data.doctor.scanning import Diagnosis, Reading, scan

__all__ = ["KINDS", "Diagnosis", "Example", "Finding", "Reading", "scan"]
