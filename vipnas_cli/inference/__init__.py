"""From frames to poses; works without torch except for the torch back end."""
