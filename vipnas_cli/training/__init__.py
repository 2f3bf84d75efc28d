"""Training loops; needs torch, imports no video library."""
