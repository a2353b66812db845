"""The noise estimator's training: voices, synthetic and of people, in synthetic noise, and the network.

What it makes is `mome/speech/noise_network.safetensors`; only whoever wants another one needs this folder.
"""
