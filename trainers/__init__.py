"""How a model is made: training in a subprocess, DP-SGD, artifacts and the model runner."""
