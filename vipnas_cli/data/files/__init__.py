"""Label, box and picture files."""
