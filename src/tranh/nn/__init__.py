"""Networks without opinions: they take tensors and give tensors, and know neither text nor losses."""
