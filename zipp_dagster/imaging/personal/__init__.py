"""Personalisation inside the generator: what ZIPP's rewritten prompts are compared with.

One method a file, all with the interface of `base.py`: FABRIC (attention feedback), ViPer (a static
taste vector), DrUM (an adapter over text states), LoRA (weights of one's own). Each has seen
nothing of a user but liked and disliked images and prompts. No benchmark, no store of users here.
"""
