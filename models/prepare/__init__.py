"""From a checkpoint to a directory that a worker serves: export, INT8 quantization, manifest, model card.

Needs the ``prepare`` extra (optimum-intel, transformers, nncf, torch); nothing that a worker runs imports it.
"""
