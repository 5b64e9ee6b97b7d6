"""Asking models: one module for each shape of a chat API, and the loop that leaves out what a model refuses."""
