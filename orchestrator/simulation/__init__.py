"""A world in virtual time that drives the real protocol cores: clock, network, faults, traces. One seed replays it."""
