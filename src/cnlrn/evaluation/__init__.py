"""Measuring restored pictures against sharp ones."""
