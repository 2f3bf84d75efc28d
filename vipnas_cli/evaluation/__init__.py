"""Scores of pipelines and of schedules, from predictions to numbers."""
