"""Networks of others in the form of our own: RGB bytes in, heatmaps on our grid out; needs onnx, not torch."""
