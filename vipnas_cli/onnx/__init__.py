"""Torch networks into ONNX files that give the same answers."""
