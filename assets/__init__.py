"""The artifacts of ZIPP, one module a stage. A body names its inputs and calls one domain function."""
