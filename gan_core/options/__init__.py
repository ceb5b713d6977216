"""Blocks of settings for recipes: frozen, checked, and read without importing torch."""
