"""Faces without their expression: IDFERM's part of the report."""
