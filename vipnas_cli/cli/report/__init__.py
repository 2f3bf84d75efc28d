"""`vipnas report`: its options and its job."""
