"""The openb experiment: pods with shared GPUs arrive one by one, up to 130 % of all GPUs."""
