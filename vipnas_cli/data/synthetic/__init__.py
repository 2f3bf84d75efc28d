"""Synthetic people: rendered stills and clips with exact truth."""
