"""The files that a model is prepared from: where they are, which format they have, what they say about the model."""
