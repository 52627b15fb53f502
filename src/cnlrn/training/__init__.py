"""Training: losses, learning-rate schedules, the training module and its recipes. Needs torch."""
