"""Faults on purpose: what is to happen to whom and when, and making it happen to real processes and links."""
