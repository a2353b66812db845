"""What teaches the network of synchrony: real and drawn mouths, and their sound beside that of others.

What it makes is `mome/speech/synchrony_network.safetensors`; only whoever wants another one needs this.
"""
