"""What a model costs: parameters, multiplications, size, memory, loading time, energy, money."""
