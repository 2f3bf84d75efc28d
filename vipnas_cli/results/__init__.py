"""Poses of a video as files: written frame by frame, read back, turned into one another."""
