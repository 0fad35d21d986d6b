"""Mapping documents, their compiler and their workbench."""
