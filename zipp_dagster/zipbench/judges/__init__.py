"""Judges of pictures by preference: reward models that score one, and models that compare two.

`base` holds the interface and the counting; each model class has its own file, loaded by `load_judge`.
No judge is set by default: none is small, and a benchmark must not call a stand-in a judge.
"""
