"""`vipnas eval`: one record of options and one job for each of its commands."""
