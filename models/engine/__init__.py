"""One compiled OpenVINO model: which sequences are computed together, on which shapes, with which arithmetic."""
