"""Rung 6: the gradient of the first minibatch."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

RULES = (
    Rule(
        code="PAR601",
        title="a gradient is not finite",
        severity="error",
        explanation=(
            "RLlib sets such a gradient to zero, logs a warning and goes on (torch_learner.py:204-220, ray 2.60): the "
            "parameter stands still."
        ),
        origin="NaN in one row of the batch is enough.",
        fix="Find the row: rungs 1 to 5 name it.",
        explains=("PAR602", "PAR603", "PAR701", "PAR702", "PAR801", "PAR802"),
    ),
    Rule(
        code="PAR602",
        title="a trained parameter has no gradient",
        severity="error",
        explanation="Changing the parameter changes the outputs, but the loss does not reach it: it is never learned.",
        origin="torch.no_grad(), detach(), a numpy round trip or .data between the parameter and the loss.",
        fix="Remove detach() and torch.no_grad() from the forward pass and from compute_values.",
        explains=("PAR506", "PAR603", "PAR605", "PAR701", "PAR702", "PAR801"),
    ),
    Rule(
        code="PAR603",
        title="gradients differ from SB3's",
        severity="error",
        explanation="On the same minibatch, weights and advantages the clipped gradient is another.",
        origin="Another loss, another clipping, or parts of the network outside the graph.",
        fix='config.training(grad_clip=..., grad_clip_by="global_norm")',
        explains=("PAR701", "PAR801"),
    ),
    Rule(
        code="PAR606",
        title="what the outputs are learned from is no parameter of the module",
        severity="error",
        explanation=(
            "No optimiser steps it, no checkpoint holds it, and env runners draw their own: sampling and training then use "
            "different networks."
        ),
        origin="Layers in a Python list or dict, a tensor with requires_grad=True, a network kept outside the module.",
        fix="nn.ModuleList, nn.ModuleDict or nn.Parameter: whatever self.parameters() finds is trained and synchronised",
        explains=("PAR303", "PAR801", "PAR805"),
    ),
    Rule(
        code="PAR604",
        title="a trained parameter reaches no output",
        severity="info",
        explanation="Changing it changes neither log-probabilities nor values on the rollout.",
        origin="A layer that the forward pass leaves out, or an input that was constant in this rollout.",
        fix="Remove the layer, or look whether its input carries anything.",
    ),
    Rule(
        code="PAR605",
        title="a parameter is frozen that SB3 trains",
        severity="error",
        explanation="requires_grad is False for it.",
        origin="A pre-trained encoder, or a flag left over.",
        fix="parameter.requires_grad_(True)  # or declare it",
        explains=("PAR603", "PAR701", "PAR801"),
    ),
)
