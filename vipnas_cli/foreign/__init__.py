"""Networks of others in the form of our own: RGB bytes in, heatmaps on our grid out.

Needs onnx, and torch for checkpoints only.
"""
