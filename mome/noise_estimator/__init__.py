"""The noise estimator's training: synthetic voices in synthetic noise, and the network that learns from them.

What it makes is `mome/speech/noise_network.safetensors`; only whoever wants another one needs this folder.
"""
