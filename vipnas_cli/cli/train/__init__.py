"""`vipnas train`: its options, its job, and how it is told."""
