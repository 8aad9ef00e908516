"""Programs that use Celeriac, and the local stack that the demo and the tests start."""
