"""`vipnas convert`."""
