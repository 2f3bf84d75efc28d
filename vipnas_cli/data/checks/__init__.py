"""Looks through data before it is used, and tells all that is wrong."""
