"""From a checkpoint to a directory that a worker serves: export, INT8 quantization, manifest, model card.

Requires the ``prepare`` extra (optimum-intel, transformers, torch). Workers import nothing from here.
"""
