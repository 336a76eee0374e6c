"""Whole participants in virtual time: the runtime of real processes, with its clock, network and shards replaced."""
