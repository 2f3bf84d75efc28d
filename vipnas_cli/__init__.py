"""Video human pose at a compute budget that you state."""

__version__ = "0.1.0"
