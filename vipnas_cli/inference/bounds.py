"""Bounds of settings that the command line and Python share; nothing is loaded for them."""

# Pixels of the longer side of the picture that a detector sees.
LEAST_DETECTOR_SIZE, MOST_DETECTOR_SIZE = 64, 2048
# People who are followed at most, unless that is set.
MAX_PEOPLE = 20
