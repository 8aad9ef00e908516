"""What a pool process does with the requests of a batch: validate, choose a model, answer."""
