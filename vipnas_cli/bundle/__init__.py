"""Pipelines on disk: read and checked, from a folder or from one file."""
