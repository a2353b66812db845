"""MoME, Mixture of Matryoshka Experts (arXiv:2510.04136), as a peft method.

get_peft_model(llm, MomeConfig(num_experts=23, top_k=4, bottleneck_dim=8))
"""

from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.model import MomeModel
from mome.tuners.registration import register

__all__ = ["MomeConfig", "MomeModel"]

register("mome", MomeConfig, MomeModel)
