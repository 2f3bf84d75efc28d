"""Trained networks into bundles; needs torch."""
