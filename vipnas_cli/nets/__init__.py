"""Networks; needs torch."""
