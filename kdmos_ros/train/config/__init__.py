"""Recipes: what a training is told, as checked data."""
