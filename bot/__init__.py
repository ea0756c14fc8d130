"""Orchestr8: push to deploy and ChatOps for Docker behind nginx."""
