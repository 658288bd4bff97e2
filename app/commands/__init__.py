"""The commands of `instrument-registry`, a module for each that is more than a call."""
