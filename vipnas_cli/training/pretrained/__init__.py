"""Published weights that trainings begin with; one module per format, and the list of them."""
