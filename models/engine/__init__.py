"""One compiled OpenVINO model: how sequences are batched, on which shapes and with which arithmetic they run."""
