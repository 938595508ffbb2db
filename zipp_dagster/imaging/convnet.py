"""The small convolutional network that both judges use: evaluation encoder and factor classifier.

Only the architecture and its saved form live here; they are trained apart, in
`train_evaluation_encoder.py` and `train_factor_classifier.py`, from different seeds.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_WIDTHS = (24, 48, 96, 128)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(self.norm(x))))


class ConvNet(nn.Module):
    """Pixels in -1..1 [n, 3, 64, 64] to features [n, dim] (not normalised)."""

    def __init__(self, dim: int, widths: tuple[int, ...] = _WIDTHS) -> None:
        super().__init__()
        self.dim, self.widths = dim, widths
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), _Block(width)]
            before = width
        self.body = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(3 * before)
        self.out = nn.Linear(3 * before, dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of pixels, float32 [n, dim]."""
        x = self.body(pixels).float()
        mean, peak = x.mean((2, 3)), x.amax((2, 3))
        spread = (x.var((2, 3), unbiased=False) + 1e-4).sqrt()
        return self.out(self.norm(torch.cat([mean, peak, spread], 1)))


def save_convnet(net: ConvNet, directory: Path, kind: str, **details: object) -> None:
    """Writes `model.safetensors` (fp16) and `config.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in net.state_dict().items()}
    save_file(weights, directory / "model.safetensors")
    config = {"kind": kind, "dim": net.dim, "widths": list(net.widths), **details}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")


def load_convnet(directory: Path, kind: str) -> tuple[ConvNet, dict[str, object]]:
    """The network of a directory, in float32, frozen, with its configuration."""
    path = directory / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"no {kind} at {directory}: config.json is missing")
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("kind") != kind:
        raise ValueError(f"{path} describes a {config.get('kind')!r}, not a {kind!r}")
    net = ConvNet(int(config["dim"]), tuple(config["widths"]))
    weights = load_file(directory / "model.safetensors")
    net.load_state_dict({k: v.float() for k, v in weights.items()})
    return net.eval().requires_grad_(False), config
