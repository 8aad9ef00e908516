"""Measuring a prepared model on labelled rows: in this process, or through a running worker."""
