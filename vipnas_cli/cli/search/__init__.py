"""`vipnas search`: its options, its job, and how what it found is told and drawn."""
