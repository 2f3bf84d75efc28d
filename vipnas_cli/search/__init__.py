"""The search for schedules under a budget: space, methods, scores, log and parallel workers; needs torch."""
